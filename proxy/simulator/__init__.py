"""A provider that exists only for tests, the demo and the benches, and misbehaves on request.

    grammar      what a model name (or the header `x-sim`) asks for
    answers      an answer as data: whole, or as blocks of tokens, played one step at a time
    openai_chat, openai_responses, openai_other, anthropic, gemini
                 the answers of each dialect
    errors       the error bodies of each dialect
    routes       which path gets which answer
    faults       the table of everything that can go wrong
    http         the little HTTP/1.1 it needs, without I/O
    ledger       what was asked and how it ended
    connection   bytes in, steps out, over raw TCP
    server       the process

It speaks raw TCP, because an HTTP library refuses to send most of what a broken upstream sends.
"""
