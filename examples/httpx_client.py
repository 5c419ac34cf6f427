"""Calls to a provider with httpx. Run it: the provider approves, declines, fails and times out.

A decline is in the response body, so `classify` recognises it. A time-out after sending is `indeterminate`.
"""

import asyncio

import httpx

from moneypath.telemetry import setup
from moneypath.telemetry.integrations.httpx import instrument

recorder = setup(service="checkout", providers=["north"], currencies=["EUR"])


def classify(answer: httpx.Response) -> str | None:
    """Recognise a decline; whatever else is answered, the status decides."""
    try:
        content = answer.json()
    except ValueError:
        return None
    declined = isinstance(content, dict) and content.get("status") == "declined"
    return "declined" if answer.is_success and declined else None


async def provider(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Respond as the path says."""
    path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
    answers = {
        "/approve": (200, b'{"status": "approved"}'),
        "/decline": (200, b'{"status": "declined"}'),
        "/break": (503, b""),
    }
    if path in answers:
        status, body = answers[path]
        writer.write(b"HTTP/1.1 %d -\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body))
        await writer.drain()
    else:
        await reader.read()
    writer.close()


async def main() -> None:
    """Call the provider in every way and print the metrics."""
    server = await asyncio.start_server(provider, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(5, read=0.2), trust_env=False) as north:
        instrument(north, recorder, provider="north", operation="authorize", classify=classify)
        for path in ("/approve", "/decline", "/break", "/silence"):
            try:
                await north.post(path)
            except httpx.TransportError as error:
                print(f"{path}: {type(error).__name__}")
    server.close()
    for line in recorder.render().decode().splitlines():
        if line.startswith("moneypath_provider_attempts_total") and float(line.split()[-1]):
            print(line)


if __name__ == "__main__":
    asyncio.run(main())
