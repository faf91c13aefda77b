"""The demo provider: a small real server that stands for OpenAI, Anthropic and xAI.

`python -m local.provider --port N`, or in a test `async with DemoProvider() as
provider:` (in the test's loop), `start_in_thread()` and `start_as_process()`.
OpenAI's clients want `provider.url + "/v1"`, Anthropic's `provider.url`. Path
alone decides the dialect. Any credential will do, but `bad` is refused with 401.

Tokens: one a word, for prompt and answer alike (tokens.py; `count_prompt` of
chat.py, messages.py and responses.py counts a whole body). A stream sends its
content in at most 64 chunks, 20 ms apart unless told otherwise.

Books: GET /__received, emptied by DELETE /__received; `provider.received` in
process (received.py). Every POST to an endpoint counts once its body is complete.

Models (numbers in a suffix are optional; any name outside demo- and bench-
answers normally, a misspelt one inside them is 404):

demo-cached             half of the prompt's tokens are reported as read from the cache
demo-reasoning          64 reasoning tokens (-N: N) inside the completion, as OpenAI counts
demo-reasoning-outside  xAI's way: 32 + 9 + 94 reasoning outside = 135, with cost ticks
demo-cumulative-usage   usage so far on every chunk, and finish_reason empty until the last
demo-400                invalid request, naming the operator's organization
demo-400-xai            xAI's answer to a bad key, in xAI's own shape
demo-401                bad credential, echoing part of it
demo-402                the operator's credit is used up
demo-403                the operator's project may not use this model
demo-404                no such model
demo-413                the request is too large
demo-422                a field is missing
demo-429                rate limited, naming the team, with retry-after and retry-after-ms
demo-429-quota          OpenAI's insufficient_quota, with the operator's billing text
demo-500                internal error
demo-503                unavailable
demo-529                overloaded
demo-html               200 with an HTML page
demo-html-502           502 with an HTML page
demo-garbage            200 with a body (or events) that is not JSON
demo-redirect           302 to the same server under another host name
demo-gzip               compressed, though identity was asked for
demo-reset              connection reset before any byte of the answer
demo-reset-midstream    connection reset after 2 chunks (-K: K), or half of the body
demo-cut-midstream      clean end after 2 chunks (-K: K), or half of the body
demo-error-in-stream    an error event after 2 chunks (-K: K), or 200 with an error object
demo-no-done            finish reason and usage come, [DONE] or message_stop does not
demo-slow               first byte after 2 s (-500ms, -3s: as given)
demo-stall              headers and 1 chunk (-K: K), or half of the body, then nothing
demo-hang               accepts the request and never answers
demo-no-usage           no usage anywhere
demo-null-usage         usage is null
demo-usage-strings      usage figures are strings
demo-usage-negative     usage figures are negative
demo-usage-huge         usage figures are 2^63
demo-usage-twice        usage is sent twice
demo-usage-above-cap    output is reported as ten times the cap (4096 without one)
demo-usage-mismatch     the parts of usage do not add up, by 7
demo-crlf               CRLF line ends and comment lines between events
demo-split-utf8         characters of several bytes cut in the middle by separate writes
demo-big-event          one event (or body) of 1 MiB of text (-N: N MiB)
demo-fixed              -OUT or -IN-OUT: exactly OUT completion (and IN prompt) tokens
demo-chunks             -N-MS: N chunks of one token, MS milliseconds apart
demo-echo               the content is JSON of the method, path, query, headers and body received
bench-instant           written beforehand, unpaced: 16 prompt and 16 completion tokens
bench-chunks            -N-MS: as demo-chunks, 16 prompt tokens
"""

from local.provider.received import Receipt, Received
from local.provider.running import RunningProvider, start_as_process, start_in_thread
from local.provider.server import DemoProvider
from local.provider.tokens import count_tokens

__all__ = [
    "DemoProvider",
    "Receipt",
    "Received",
    "RunningProvider",
    "count_tokens",
    "start_as_process",
    "start_in_thread",
]
