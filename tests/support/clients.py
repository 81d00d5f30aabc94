"""Programs that people run in jobs, each as a command that fetches one URL.

All of them find the gate and the certificates through their environment alone.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

Command = Callable[[str], list[str]]

#: What a client shows of a refusal.
REASON = r"\(jobgate: not-listed\)"
TEXT = r'Add "evil\.test" or "\.evil\.test"'
NUMBER = r"\b403\b"


@dataclass(frozen=True, slots=True)
class Tool:
    """One client.

    Attributes:
        name: For the test's id.
        program: What must be installed.
        command: Fetches a URL and writes its content to standard output.
        shows_http: Regular expression for its output when plain HTTP is refused.
        shows_https: The same for HTTPS.
    """

    name: str
    program: str
    command: Command
    shows_http: str
    shows_https: str

    @property
    def installed(self) -> bool:
        """Whether the program is there."""
        return shutil.which(self.program) is not None


def _python(program: str) -> Command:
    return lambda url: [sys.executable, "-c", program, url]


_URLLIB = """
import sys, urllib.request
sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1]).read())
"""
_REQUESTS = """
import sys, requests
response = requests.get(sys.argv[1])
sys.stdout.buffer.write(response.content)
response.raise_for_status()
"""
_HTTPX = """
import sys, httpx
response = httpx.get(sys.argv[1])
sys.stdout.buffer.write(response.content)
response.raise_for_status()
"""
_AIOHTTP = """
import asyncio, sys, aiohttp
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session, session.get(sys.argv[1]) as response:
        sys.stdout.buffer.write(await response.read())
        response.raise_for_status()
asyncio.run(main())
"""
_NODE = """
fetch(process.argv[1]).then(async response => {
  process.stdout.write(Buffer.from(await response.arrayBuffer()));
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
}).catch(error => { console.error(error, error.cause); process.exit(1); });
"""

TOOLS = [
    Tool("curl", "curl", lambda url: ["curl", "-sS", "--fail-with-body", url], TEXT, NUMBER),
    Tool("curl-http-1.0", "curl", lambda url: ["curl", "-sS", "-0", "--fail-with-body", url], TEXT, NUMBER),
    Tool("wget", "wget", lambda url: ["wget", "-nv", "-t1", "-O-", url], REASON, REASON),
    Tool("urllib", sys.executable, _python(_URLLIB), REASON, REASON),
    Tool("requests", sys.executable, _python(_REQUESTS), TEXT, REASON),
    Tool("httpx", sys.executable, _python(_HTTPX), TEXT, REASON),
    Tool("aiohttp", sys.executable, _python(_AIOHTTP), TEXT, REASON),
]


def node_command(node: str) -> Command:
    """Return the command of a Node that reads the environment for its ``fetch``."""
    return lambda url: [node, "-e", _NODE, url]


JAVA_SOURCE = """
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

public class Fetch {
    public static void main(String[] arguments) throws Exception {
        URI uri = URI.create(arguments[1]);
        if (arguments[0].equals("client")) {
            HttpClient client = HttpClient.newHttpClient();
            HttpResponse<String> response =
                client.send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString());
            System.out.print(response.body());
            if (response.statusCode() != 200) throw new Exception("status " + response.statusCode());
        } else {
            HttpURLConnection connection = (HttpURLConnection) uri.toURL().openConnection();
            int status = connection.getResponseCode();
            if (status != 200) throw new Exception(status + " " + connection.getResponseMessage());
            try (InputStream content = connection.getInputStream()) {
                content.transferTo(System.out);
            }
        }
    }
}
"""
