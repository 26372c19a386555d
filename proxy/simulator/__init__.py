"""A provider that exists only for tests, the demo and the benches, and misbehaves on request.

    grammar      what a model name (or the header `x-sim`) asks for
    words        the text of every answer
    answers      an answer as data: whole, or as blocks of tokens, played one step at a time
    talk         the conversation a request brings, whatever dialect it is told in
    schema       JSON that fits a schema
    seals        state that must come back unchanged
    demands      what each vendor wants back in the next turn
    resuming     the rest of an answer that broke off
    strict       what each vendor refuses at once
    shape        thoughts, words or tool calls: the same decision in every dialect
    openai_chat, openai_responses, openai_other, anthropic, bedrock, gemini, vectors
                 the answers of each dialect
    errors       the error bodies of each dialect
    routes       which path gets which answer
    take         an answer being given, and the HTTP around it
    refusals     answers that say no
    faults       the table of everything that can go wrong
    http         the little HTTP/1.1 it needs, without I/O
    ledger       what was asked and how it ended
    world        what all connections share
    connection   bytes in, steps out, over raw TCP
    server       the process

It speaks raw TCP, because an HTTP library refuses to send most of what a broken upstream sends. The words it obeys
are in docs/simulator.md.
"""
