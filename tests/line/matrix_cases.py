"""What is asked in every dialect of every provider, what must come of it, and who cannot be asked, with the reason."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import orjson

from proxy.simulator.words import WORDS
from tests.line.matrix_answers import Said, Used
from tests.line.matrix_asks import (
    BODIES,
    PDF,
    PICTURE,
    PICTURE_URL,
    Ask,
    Call,
    Json,
    Paper,
    Picture,
    Result,
    Tool,
    Turn,
    asking,
    assistant,
    user,
)
from tests.line.matrix_line import Line

SENTENCE = "I will not help with that."
"""How the simulated provider refuses."""


def words(count: int, pad: str = "") -> str:
    """What the simulated provider says."""
    return "".join(WORDS[index % len(WORDS)] + pad for index in range(count))


CITY = words(6)
LONG = words(20_000)

FINISH: Mapping[str, Mapping[str, str]] = {
    "chat": {
        "stop": "stop",
        "length": "length",
        "tools": "tool_calls",
        "refusal": "content_filter",
    },
    "completions": {"stop": "stop", "length": "length"},
    "responses": {
        "stop": "completed",
        "length": "max_output_tokens",
        "tools": "completed",
        "refusal": "content_filter",
    },
    "messages": {
        "stop": "end_turn",
        "length": "max_tokens",
        "tools": "tool_use",
        "refusal": "refusal",
    },
    "gemini": {"stop": "STOP", "length": "MAX_TOKENS", "tools": "STOP", "refusal": "SAFETY"},
}
"""Why an answer ended, in the client's word."""


def ended(line: Line, said: Said, why: str) -> None:
    """It ended for this reason."""
    assert said.finish == FINISH[line.pair.client][why]


# --- text ---------------------------------------------------------------------------------------------------


async def text(line: Line) -> None:
    said = await line.ask(asking())

    assert said.text == words(6)
    assert not said.calls
    ended(line, said, "stop")


async def long_answer(line: Line) -> None:
    # Its events are those of a short one, which are checked.
    said = await line.ask(asking(), checked=False)

    assert said.text == LONG
    assert said.used.output == 20_000
    ended(line, said, "stop")


_MOST: Mapping[str, tuple[str, ...]] = {
    "chat": ("max_completion_tokens", "max_tokens"),
    "responses": ("max_output_tokens",),
    "messages": ("max_tokens",),
    "gemini": ("maxOutputTokens",),
    "bedrock": ("maxTokens",),
}
_CONFIGS = ("generationConfig", "inferenceConfig")


def parameter(line: Line, *names: str) -> Any:
    """A parameter the provider was sent, wherever its dialect has it."""
    body = line.asked
    for config in _CONFIGS:
        body |= body.get(config) or {}
    return next((body[name] for name in names if name in body), None)


async def most_tokens(line: Line) -> None:
    said = await line.ask(asking()._replace(max_tokens=64))

    assert said.text == words(6)
    ended(line, said, "length")
    assert parameter(line, *_MOST[line.pair.provider]) == 64


async def stop_sequence(line: Line) -> None:
    said = await line.ask(asking()._replace(stop=("END", "OVER")))

    assert said.text == words(6)
    assert parameter(line, "stop", "stop_sequences", "stopSequences") == ["END", "OVER"]
    tells = line.pair.provider in ("messages", "bedrock")
    if tells and line.pair.client == "messages":
        assert (said.finish, said.stop) == ("stop_sequence", "END")
    else:
        ended(line, said, "stop")


async def usage(line: Line) -> None:
    said = await line.ask(asking())

    # These two bill thoughts without telling how many tokens of the answer they are.
    tells = line.pair.provider not in ("messages", "bedrock") and line.pair.client != "messages"
    assert said.used == Used(500, 400, 9, 3 if tells else 0)


async def refusal(line: Line) -> None:
    said = await line.ask(asking())

    if line.pair.provider in ("chat", "responses"):
        # A sentence in a place of its own; it ends like any other.
        assert said.refusal + said.text == SENTENCE
        if line.pair.client in ("chat", "responses"):
            assert said.refusal == SENTENCE
            ended(line, said, "stop")
        return
    assert said.refusal + said.text == ("" if line.pair.provider == "gemini" else SENTENCE)
    ended(line, said, "refusal")


# --- turns --------------------------------------------------------------------------------------------------


async def several_turns(line: Line) -> None:
    turns = (
        user("Turn one."),
        user("Turn two."),
        assistant("Turn three."),
        assistant("Turn four."),
        user("Turn five."),
        user("Turn six."),
    )
    said = await line.ask(Ask(turns, system="Be brief."))

    assert said.text == words(6)
    told = ["one", "two", "three", "four", "five", "six"]
    body = line.seen[-1].body.decode()
    places = [body.index(f"Turn {number}.") for number in told]
    assert all(before < after for before, after in pairwise(places))
    assert all(body.count(f"Turn {number}.") == 1 for number in told)
    assert body.count("Be brief.") == 1


async def nothing_said(line: Line) -> None:
    turns = (user("Turn one."), assistant(""), user("", "Turn two."))
    said = await line.ask(Ask(turns))

    assert said.text == words(6)
    assert b"Turn one." in line.seen[-1].body
    assert b"Turn two." in line.seen[-1].body


async def begun_answer(line: Line) -> None:
    said = await line.ask(Ask((user("Turn one."), assistant("It begins"))))

    assert said.text == words(6)
    body = line.asked
    last = next(body[name][-1] for name in ("messages", "input", "contents") if name in body)
    assert last["role"] in ("assistant", "model")
    assert "It begins" in orjson.dumps(last).decode()


# --- tools --------------------------------------------------------------------------------------------------

PLACE: Json = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Where"}},
    "required": ["city"],
}
WEATHER = Tool("get_weather", PLACE)
TIME = Tool("get_time", PLACE)
NOW = Tool("now", {"type": "object", "properties": {}})
QUESTION = asking()


async def one_call(line: Line) -> None:
    said = await line.ask(QUESTION._replace(tools=(WEATHER,)))

    assert [(one.name, one.arguments) for one in said.calls] == [("get_weather", {"city": CITY})]
    assert not said.text
    ended(line, said, "tools")
    assert b'"description":"Where"' in line.seen[-1].body


async def parallel_calls(line: Line) -> None:
    said = await line.ask(QUESTION._replace(tools=(WEATHER, TIME)))

    named = [(one.name, one.arguments) for one in said.calls]
    assert named == [("get_weather", {"city": CITY}), ("get_time", {"city": CITY})]
    assert len({one.id for one in said.calls}) == 2
    ended(line, said, "tools")


async def no_arguments(line: Line) -> None:
    said = await line.ask(QUESTION._replace(tools=(NOW,)))

    assert [(one.name, one.arguments) for one in said.calls] == [("now", {})]
    ended(line, said, "tools")


async def no_tools(line: Line) -> None:
    said = await line.ask(QUESTION)

    assert (said.text, said.calls) == (words(6), [])
    ended(line, said, "stop")


async def none_called(line: Line) -> None:
    said = await line.ask(QUESTION._replace(tools=(WEATHER,), choice="none"))

    assert (said.text, said.calls) == (words(6), [])
    ended(line, said, "stop")


async def must_call(line: Line) -> None:
    said = await line.ask(QUESTION._replace(tools=(WEATHER,), choice="required"))

    assert [one.name for one in said.calls] == ["get_weather"]
    ended(line, said, "tools")


def _answered(*results: Result) -> Ask:
    calls = [Call(one.id, one.name, {"city": "Rome"}) for one in results]
    turns = (user("What is the weather?"), assistant(*calls), user(*results))
    return Ask(turns, tools=(WEATHER, TIME))


async def results(line: Line) -> None:
    weather = Result("call_1", "get_weather", "21 degrees")
    time = Result("call_2", "get_time", "noon")
    said = await line.ask(_answered(weather, time))

    first, _, second = said.text.removeprefix("The tools said: ").partition(" | ")
    assert "21 degrees" in first
    assert "noon" in second
    ended(line, said, "stop")


async def picture_in_a_result(line: Line) -> None:
    said = await line.ask(_answered(Result("call_1", "get_weather", "a photo", picture=True)))

    assert said.text.startswith("The tools said: ")
    assert "a photo" in said.text
    assert said.text.endswith("I see 1 image.")


_ERROR = {
    "messages": '"is_error":true',
    "bedrock": '"status":"error"',
    "gemini": '"error":"no such city"',
    "chat": "no such city",
    "responses": "no such city",
}
"""How a provider is told that a tool has failed; the two of OpenAI have words alone."""


async def failed_result(line: Line) -> None:
    said = await line.ask(_answered(Result("call_1", "get_weather", "no such city", is_error=True)))

    assert "no such city" in said.text
    assert _ERROR[line.pair.provider] in orjson.dumps(line.asked).decode()


async def rounds(line: Line) -> None:
    """Calls, their results, calls, their results, an answer; whatever came goes back as it came."""
    await _rounds(line, CITY, thoughts=words(3))


async def sealed_rounds(line: Line) -> None:
    await _rounds(line, CITY, thoughts="")


async def _rounds(line: Line, city: str, *, thoughts: str) -> None:
    turns: tuple[Turn, ...] = (user("What is the weather?"),)
    for number in range(2):
        said = await line.ask(Ask(turns, tools=(WEATHER, TIME), thinking=True))
        assert [one.name for one in said.calls] == ["get_weather", "get_time"]
        assert said.thoughts == thoughts
        results = [
            Result(one.id, one.name, f"{number}: {one.arguments['city']}") for one in said.calls
        ]
        turns += (Turn("assistant", echo=said.echo), user(*results))

    said = await line.ask(Ask(turns, tools=(WEATHER, TIME), thinking=True))

    assert said.text.startswith("The tools said: ")
    assert said.text.count(f"1: {city}") == 2
    assert said.thoughts == thoughts
    ended(line, said, "stop")


# --- pictures and papers ------------------------------------------------------------------------------------


async def picture(line: Line) -> None:
    said = await line.ask(asking("What is this?", Picture()))

    assert said.text == "I see 1 image."
    assert PICTURE in line.seen[-1].body.decode()


async def picture_at_an_address(line: Line) -> None:
    said = await line.ask(asking("What is this?", Picture(PICTURE_URL)))

    assert said.text == "I see 1 image."
    assert PICTURE_URL in orjson.dumps(line.asked).decode()


async def paper(line: Line) -> None:
    said = await line.ask(asking("What is this?", Paper()))

    assert said.text == "I see 1 document."
    assert PDF in line.seen[-1].body.decode()


# --- thoughts -----------------------------------------------------------------------------------------------


async def thoughts(line: Line) -> None:
    """What was thought is shown, and given back with the next question."""
    said = await line.ask(Ask(QUESTION.turns, thinking=True))

    assert (said.thoughts, said.text) == (words(3), words(6))
    ended(line, said, "stop")

    turns = (*QUESTION.turns, Turn("assistant", echo=said.echo), user("And then?"))
    said = await line.ask(Ask(turns, thinking=True))

    assert said.text == words(6)


async def asked_thoughts(line: Line) -> None:
    """A provider that thinks only when it is asked to, and shows it only when it is asked to."""
    said = await line.ask(Ask(QUESTION.turns, thinking=True))

    assert (said.thoughts, said.text) == (words(3), words(6))


async def sealed_thoughts(line: Line) -> None:
    said = await line.ask(Ask(QUESTION.turns, thinking=True))

    assert (said.thoughts, said.text) == ("", words(6))

    turns = (*QUESTION.turns, Turn("assistant", echo=said.echo), user("And then?"))
    said = await line.ask(Ask(turns, thinking=True))

    assert said.text == words(6)


# --- structured answers -------------------------------------------------------------------------------------

REPORT: Json = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "degrees": {"type": "integer"},
        "sunny": {"type": "boolean"},
        "wind": {"anyOf": [{"type": "string", "enum": ["north", "south"]}, {"type": "null"}]},
        "hours": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"hour": {"type": "integer"}},
                "required": ["hour"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["city", "degrees", "sunny", "wind", "hours"],
    "additionalProperties": False,
}
FITTING = {"city": CITY, "degrees": 1, "sunny": True, "wind": "north", "hours": [{"hour": 1}]}


async def structured(line: Line) -> None:
    said = await line.ask(QUESTION._replace(schema=REPORT))

    assert orjson.loads(said.text) == FITTING
    ended(line, said, "stop")


# --- the table ----------------------------------------------------------------------------------------------

Check = Callable[[Line], Awaitable[None]]


class Case(NamedTuple):
    """One row of the table."""

    name: str
    steering: str
    check: Check
    without: Mapping[str, str] = {}
    """`CLIENT`, `to PROVIDER` or `CLIENT to PROVIDER` that has no way to say it, and why."""


PLAIN = {"completions": "It takes a text and gives a text."}

CASES: tuple[Case, ...] = (
    Case("text", "n6-strict", text),
    Case("long answer", "n20000-strict", long_answer),
    Case("most tokens", "n6-length-strict", most_tokens),
    Case("stop sequence", "n6-stop-strict", stop_sequence, {
        "responses": "It has no stop sequences.",
        "to responses": "It has no stop sequences.",
    }),
    Case("usage", "n6-in500-cached400-think-strict", usage),
    Case("refusal", "n6-refuse-strict", refusal, PLAIN),
    Case("several turns", "n6-strict", several_turns, PLAIN),
    Case("nothing said", "n6-strict", nothing_said, PLAIN | {
        "messages": "Its vendor refuses a text that is empty.",
    }),
    Case("begun answer", "n6-strict", begun_answer, PLAIN),
    Case("one call", "n6-tool-strict", one_call, PLAIN),
    Case("parallel calls", "n6-tool2-strict", parallel_calls, PLAIN),
    Case("call without arguments", "n6-tool-strict", no_arguments, PLAIN),
    Case("no tools offered", "n6-tool2-strict", no_tools, PLAIN),
    Case("no tool called", "n6-tool2-strict", none_called, PLAIN),
    Case("a tool that must be called", "n6-strict", must_call, PLAIN),
    Case("results", "n6-tool-strict", results, PLAIN),
    Case("picture in a result", "n6-tool-look-strict", picture_in_a_result, PLAIN | {
        "chat": "The result of a tool is a text.",
    }),
    Case("failed result", "n6-tool-strict", failed_result, PLAIN | {
        "chat": "It has no field that says so.",
        "responses": "It has no field that says so.",
    }),
    Case("rounds of calls", "n6-tool2-rounds2-think-signed-strict", rounds, PLAIN),
    Case("rounds of calls with sealed thoughts", "n6-tool2-rounds2-think-redact-signed-strict",
         sealed_rounds, PLAIN),
    Case("picture", "n6-look-strict", picture, PLAIN),
    Case("picture at an address", "n6-look-strict", picture_at_an_address, PLAIN | {
        "to bedrock": "It reads addresses of its vendor's own store only.",
    }),
    Case("document", "n6-look-strict", paper, PLAIN),
    Case("thoughts", "n6-think-signed-strict", thoughts, PLAIN),
    Case("thoughts that were asked for", "n6-strict", asked_thoughts, PLAIN | {
        "to chat": "Its vendor shows none.",
        "chat to responses": "Its vendor shows none: nobody expects them.",
        "chat to gemini": "Its vendor shows none: nobody expects them.",
        "messages to responses": "Summaries are for accounts that have proved who they are.",
        "messages to gemini": "Nobody has said in so many words that they are to be shown.",
    }),
    Case("sealed thoughts", "n6-think-redact-signed-strict", sealed_thoughts, PLAIN),
    Case("structured answer", "n6-strict", structured, PLAIN),
)  # fmt: skip
ALSO_CONVERTED = ("text", "parallel calls", "rounds of calls", "usage", "refusal")
"""Asked again of providers that only stream, or never do."""


# --- counting -----------------------------------------------------------------------------------------------

COUNTS: Mapping[str, tuple[str, str]] = {
    "messages": ("count_tokens", "input_tokens"),
    "gemini": ("countTokens", "totalTokens"),
}
"""Clients that can ask for it: where, and the field of the answer."""


async def counted(line: Line) -> None:
    """The provider's number, where it counts; else one of our own, which says so."""
    verb, field = COUNTS[line.pair.client]
    body = BODIES[line.pair.client](
        Ask(QUESTION.turns, system="Be brief. " * 100, tools=(WEATHER,))
    )
    if line.pair.client == "gemini":
        # What its vendor counts with the question stands in a request of its own.
        body = {"generateContentRequest": {"model": "models/gemini-3-pro"} | body}
    else:
        del body["max_tokens"]
    answer = await line.post(body, verb)

    assert answer.status == 200, answer
    number = answer.json[field]
    if line.pair.provider == "chat":
        assert answer.headers["x-headrace-estimated"] == "true"
        assert 100 < number < 1000
    else:
        assert "x-headrace-estimated" not in answer.headers
        assert number == 500
