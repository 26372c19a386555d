"""Conversations held by real client libraries, each in a process of its own: `python -m tests.line.talks.NAME URL`.

    common          what they talk about, and the report
    openai_sdk, anthropic_sdk, google_sdk, langchain, pydantic_ai, agents_sdk
                    one library each

Importing these libraries takes seconds and some of them warn of one another, so it does not happen in the test's own
process. A process holds every conversation with every provider and prints a line of JSON for each.
"""
