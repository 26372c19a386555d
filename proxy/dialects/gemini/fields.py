"""How this dialect spells what can be asked for.

Not here: marks of the prompt cache (it caches by itself, or by `cachedContent`), names of speakers and documents, and
whether calls may come at once. A budget of thoughts is a word for models since Gemini 3, see `models`.
"""

from __future__ import annotations

from collections.abc import Mapping

_CONFIG = "generationConfig."
_CALLING = "toolConfig.functionCallingConfig."
_PART = "contents[].parts[]."

FIELDS: Mapping[str, str] = {
    "max_tokens": _CONFIG + "maxOutputTokens",
    "temperature": _CONFIG + "temperature",
    "top_p": _CONFIG + "topP",
    "top_k": _CONFIG + "topK",
    "stop": _CONFIG + "stopSequences (five at most)",
    "seed": _CONFIG + "seed",
    "presence_penalty": _CONFIG + "presencePenalty",
    "frequency_penalty": _CONFIG + "frequencyPenalty",
    "logprobs": _CONFIG + "responseLogprobs",
    "top_logprobs": _CONFIG + "logprobs",
    "n": _CONFIG + "candidateCount",
    "modalities": _CONFIG + "responseModalities",
    "metadata": "labels",
    "service_tier": "serviceTier",
    "thinking.effort": _CONFIG + "thinkingConfig.thinkingLevel (thinkingBudget for Gemini 2.5)",
    "thinking.budget": _CONFIG + "thinkingConfig.thinkingBudget (thinkingLevel since Gemini 3)",
    "thinking.off": _CONFIG + "thinkingConfig.thinkingBudget = 0",
    "thinking.visible": _CONFIG + "thinkingConfig.includeThoughts",
    "format.json": _CONFIG + "responseMimeType",
    "format.schema": _CONFIG + "responseJsonSchema, responseSchema, responseFormat[].text",
    "format.strict": "always",
    "system": "systemInstruction",
    "prefill": "contents[] that end with role model",
    "text": _PART + "text",
    "text.signature": _PART + "thoughtSignature",
    "image.data": _PART + "inlineData",
    "image.url": _PART + "fileData",
    "image.file": _PART + "fileData (an upload, or gs://)",
    "image.detail": _PART + "mediaResolution (since Gemini 3)",
    "document.data": _PART + "inlineData",
    "document.url": _PART + "fileData",
    "document.file": _PART + "fileData (an upload, or gs://)",
    "document.text": _PART + "inlineData (text/plain)",
    "audio.data": _PART + "inlineData",
    "audio.url": _PART + "fileData",
    "audio.file": _PART + "fileData (an upload, or gs://)",
    "video.data": _PART + "inlineData",
    "video.url": _PART + "fileData",
    "video.file": _PART + "fileData (an upload, or gs://)",
    "thinking.text": _PART + "text with thought: true",
    "thinking.signature": _PART + "thoughtSignature",
    "tool": "tools[].functionDeclarations[]",
    "tool.custom": "tools[].functionDeclarations[] (a function of one text, input)",
    "tool_call": _PART + "functionCall",
    "tool_call.signature": _PART + "thoughtSignature",
    "tool_result": _PART + "functionResponse.response.output",
    "tool_result.error": _PART + "functionResponse.response.error",
    "tool_result.image": _PART + "functionResponse.parts[] (since Gemini 3; before: beside it)",
    "tool_result.document": _PART + "functionResponse.parts[] (since Gemini 3; before: beside it)",
    "tool_choice.none": _CALLING + "mode = NONE",
    "tool_choice.required": _CALLING + "mode = ANY",
    "tool_choice.tool": _CALLING + "mode = ANY with allowedFunctionNames",
    "tool_choice.allowed": _CALLING + "allowedFunctionNames",
    "server_tool.web_search": "tools[].googleSearch, googleSearchRetrieval, enterpriseWebSearch",
    "server_tool.web_fetch": "tools[].urlContext",
    "server_tool.code_execution": "tools[].codeExecution",
}
"""Key of `loss.FEATURES` to the field."""
