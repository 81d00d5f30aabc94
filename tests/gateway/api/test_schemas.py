from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator

from jobgate.config.job_table import JobTable
from jobgate.gateway.api.schemas import SCHEMAS, SETTINGS, reference


def references(schema: object) -> Iterator[str]:
    yield from re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(schema))


def test_settings_have_the_keys_of_a_job() -> None:
    keys = {field.name for field in dataclasses.fields(JobTable)}
    assert set(SETTINGS) == keys - {"token"}
    for name in ("Settings", "SettingsPatch"):
        properties = SCHEMAS[name]["properties"]
        assert isinstance(properties, dict)
        assert set(properties) == keys


def test_references_lead_somewhere() -> None:
    assert reference("Job") == {"$ref": "#/components/schemas/Job"}
    assert set(references(SCHEMAS)) <= set(SCHEMAS)
