"""The bodies of requests and replies. Unknown fields are refused; numbers are bounded here, before any work."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _whole(value: Any) -> Any:
    """JSON knows one kind of number: 3.0 is a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
Seed = Annotated[
    int, Field(ge=0, le=2**53, description="the same seed writes the same text; none: any"), WHOLE
]
Stop = Annotated[str, Field(min_length=1, max_length=64)]
Ids = Annotated[list[Annotated[int, Field(ge=0), WHOLE]], Field(min_length=1)]


class Body(BaseModel):
    """Whatever isn't named is refused, and nothing is turned into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class StreamOptions(Body):
    """include_usage: a last event tells how many tokens were read and written."""

    include_usage: bool = False


class CompletionBody(Body):
    """As OpenAI's completions; `top_k` is ours. A prompt is a text or token ids; several are answered in one reply."""

    model: str
    prompt: str | Ids | Annotated[list[str], Field(min_length=1, max_length=16)] = ""
    max_tokens: Annotated[int, Field(ge=1), WHOLE] | None = None
    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=1, le=2**31), WHOLE] | None = None
    n: Annotated[int, Field(ge=1, le=8), WHOLE] = 1
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    seed: Seed | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    echo: bool = False
    logprobs: Annotated[int, Field(ge=0, le=5), WHOLE] | None = None
    user: str | None = None


class Logs(BaseModel):
    """Log-probabilities under the model, whatever temperature drew the tokens."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class Choice(BaseModel):
    """One text."""

    text: str
    index: int
    logprobs: Logs | None = None
    finish_reason: Literal["stop", "length"] | None = None


class Usage(BaseModel):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(BaseModel):
    """The reply, and each event of a streamed one."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None = None


class MusicBody(Body):
    """A tune. sound, midi: also as a WAV or MIDI file, in base64."""

    model: str
    prompt: str = "X:1"
    max_tokens: Annotated[int, Field(ge=1), WHOLE] | None = None
    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    seed: Seed | None = None
    wav: bool = False
    midi: bool = False


class Tune(BaseModel):
    """`playable`: every bar has the right length; `problem` says which hasn't."""

    model: str
    seed: int
    abc: str
    playable: bool
    problem: str
    finish_reason: Literal["stop", "length"]
    wav: str | None = None
    midi: str | None = None


class PredictBody(Body):
    """Rows with the columns that the run reads (others are passed over), or one value of its only column."""

    model: str
    rows: Annotated[list[dict[str, Any]], Field(min_length=1)] | None = None
    input: Any = None


class Predicted(BaseModel):
    """One answer a row, in their order."""

    model: str
    task: str
    rows: list[dict[str, Any]]


class ModelCard(BaseModel):
    """One served model, as OpenAI lists it, and what it is for."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["unrolled"] = "unrolled"
    task: str
    inputs: list[str]
    streams: bool
    parameters: int


class ModelList(BaseModel):
    """All served models."""

    object: Literal["list"] = "list"
    data: list[ModelCard]
