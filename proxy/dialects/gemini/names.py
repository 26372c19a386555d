"""What the fields of this dialect are called: protobuf's JSON takes every one of them in two spellings.

`topK` and `top_k` are the same field, and a field that is null is one that was not set. Names inside arguments,
results and JSON Schemas are the client's own: nobody touches them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from proxy.dialects.ir import Json
from proxy.dialects.names import Rule

NAME = "gemini.generate"
FAMILY = "gemini"
TOOLS = Rule(NAME, 128, letters="A-Za-z0-9_.:-", first="A-Za-z_")

_FIELDS = (
    "allowedFunctionNames", "audioTimestamp", "audioTranscription", "audioTranscriptionConfig", "avgLogprobs",
    "blockReason", "blockReasonMessage", "boolValue", "cachedContent", "cachedContentTokenCount",
    "candidateCount", "candidatesTokenCount", "candidatesTokensDetails", "chosenCandidates", "citationMetadata",
    "citationSources", "codeExecution", "codeExecutionResult", "computerUse", "continuationToken", "createTime",
    "displayName", "endIndex", "enterpriseWebSearch", "excludeDomains", "executableCode", "fileData",
    "fileSearch", "fileUri", "finishMessage", "finishReason", "frequencyPenalty", "functionCall",
    "functionCallingConfig", "functionDeclarations", "functionResponse", "generateContentRequest",
    "generationConfig", "googleMaps", "googleSearch", "googleSearchRetrieval", "groundingChunkIndices",
    "groundingChunks", "groundingMetadata", "groundingSupports", "imageConfig",
    "includeServerSideToolInvocations", "includeThoughts", "inlineData", "jsonPath", "jsonSchema",
    "logProbability", "logprobsResult", "maxOutputTokens", "mcpServers", "mediaProcessing", "mediaResolution",
    "mimeType", "modelArmorConfig", "modelConfig", "modelStatus", "modelVersion", "nullValue", "numberValue",
    "parametersJsonSchema", "partialArgs", "partIndex", "partMetadata", "presencePenalty", "promptFeedback",
    "promptTokenCount", "promptTokensDetails", "responseFormat", "responseId", "responseJsonSchema",
    "responseLogprobs", "responseMimeType", "responseModalities", "responseSchema", "retrievalConfig",
    "retrievedContext", "routingConfig", "safetyRatings", "safetySettings", "serviceTier", "speechConfig",
    "speechMetadata", "startIndex", "stopSequences", "streamFunctionCallArguments", "stringValue",
    "systemInstruction", "thinkingBudget", "thinkingConfig", "thinkingLevel", "thoughtSignature",
    "thoughtsTokenCount", "tokenCount", "toolCall", "toolConfig", "toolResponse", "toolUsePromptTokenCount",
    "toolUsePromptTokensDetails", "topCandidates", "topK", "topP", "totalTokenCount", "totalTokens",
    "trafficType", "urlContext", "urlContextMetadata", "usageMetadata", "videoMetadata", "willContinue",
)  # fmt: skip


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", r"_\1", name).lower()


_SNAKE: Mapping[str, str] = {_snake(name): name for name in _FIELDS}


def camel(fields: Json) -> Json:
    """One message of the wire with its fields as the reference spells them, those that are null left out."""
    return {_SNAKE.get(name, name): value for name, value in fields.items() if value is not None}
