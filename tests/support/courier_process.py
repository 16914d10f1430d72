"""A courier as a process of its own, to be killed: it tells on standard output that it works, and delivers."""

import argparse
import asyncio

from support.notices import courier_of, means_of

from app.database.connection import Database
from app.integrations.slack import SlackOptions


async def serve(database_url: str, allowed: str, slack_url: str) -> None:
    """Deliver until killed."""
    database = Database(database_url, pool_size=4)
    means = means_of(allow=[allowed], slack=SlackOptions(webhook_url=slack_url), seconds=30)
    courier = courier_of(database, means, set())
    print("ready", flush=True)
    await courier.run()


def main() -> None:
    """Command line: `python -m support.courier_process DATABASE HOST:PORT SLACK`."""
    parser = argparse.ArgumentParser()
    for name in ("database", "allowed", "slack"):
        parser.add_argument(name)
    options = parser.parse_args()
    asyncio.run(serve(options.database, options.allowed, options.slack))


if __name__ == "__main__":
    main()
