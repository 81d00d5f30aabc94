from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from jobgate.launch.errors import SetupError, Step
from jobgate.launch.refusal import explain, read_text

STATUS = "Name:\tpython\nUid:\t1000\t1000\t1000\t1000\nSeccomp:\t0\n"
ALL_MAPPED = "0 0 4294967295\n"


def machine(**files: str) -> Callable[[str], str]:
    """A reader for a machine that forbids nothing but by these files, named by their last part."""
    content = {"uid_map": ALL_MAPPED, "status": STATUS, **files}
    return lambda path: content.get(Path(path).name, "")


@pytest.mark.parametrize(
    ("step", "number", "files", "said"),
    [
        (Step.USER_NAMESPACE, errno.ENOSPC, {"max_user_namespaces": "0\n"}, "user.max_user_namespaces=0"),
        (Step.NAMESPACES, errno.ENOSPC, {"max_net_namespaces": "0\n"}, "user.max_net_namespaces=0"),
        (Step.NAMESPACES, errno.ENOSPC, {"max_pid_namespaces": "0\n"}, "user.max_pid_namespaces=0"),
        (Step.USER_NAMESPACE, errno.ENOSPC, {"max_user_namespaces": "5\n"}, "limit user.max_*_namespaces"),
        (Step.USER_NAMESPACE, errno.EUSERS, {}, "nested too deeply"),
        (
            Step.USER_NAMESPACE,
            errno.EPERM,
            {"unprivileged_userns_clone": "0\n"},
            "kernel.unprivileged_userns_clone=0 forbids it: set it to 1",
        ),
        (
            Step.NAMESPACES,
            errno.EPERM,
            {"apparmor_restrict_unprivileged_userns": "1\n", "max_user_namespaces": "96365\n"},
            "kernel.apparmor_restrict_unprivileged_userns=1 forbids it",
        ),
        (
            Step.ID_MAP,
            errno.EACCES,
            {"apparmor_restrict_unprivileged_userns": "1\n"},
            "AppArmor profile with the rule userns",
        ),
        (
            Step.USER_NAMESPACE,
            errno.EPERM,
            {"status": STATUS.replace("\t0\n", "\t2\n")},
            "seccomp filter of the container",
        ),
        (Step.USER_NAMESPACE, errno.EPERM, {"uid_map": "0 1000 1\n"}, "without an id for it"),
        (Step.USER_NAMESPACE, errno.EPERM, {}, "a security module or a chroot"),
        (Step.ID_MAP, errno.EPERM, {"status": STATUS.replace("1000", "0")}, "without CAP_SETFCAP"),
        (Step.ID_MAP, errno.EPERM, {"max_net_namespaces": "0\n"}, "a security module or a chroot"),
        (Step.USER_NAMESPACE, errno.EINVAL, {}, "CONFIG_USER_NS"),
        (Step.PROC, errno.EPERM, {}, "systempaths=unconfined"),
        (Step.DIRECTORY, errno.ENOENT, {}, "--keep-run"),
        (Step.FILTER, errno.EINVAL, {}, "CONFIG_SECCOMP_FILTER"),
        (Step.PROXY, errno.EMFILE, {}, "no setting is known"),
    ],
    ids=lambda value: value.name if isinstance(value, Step) else None,
)
def test_explain_names_the_setting_in_one_line(
    step: Step, number: int, files: dict[str, str], said: str
) -> None:
    text = explain(SetupError(step, number), machine(**files))
    assert said in text
    assert str(step) in text
    assert "\n" not in text


def test_read_text_of_a_missing_file_is_empty(tmp_path: Path) -> None:
    assert read_text(str(tmp_path / "absent")) == ""
    (tmp_path / "there").write_text("1\n")
    assert read_text(str(tmp_path / "there")) == "1\n"
