"""When a request is sent again, and how long to wait before."""

import datetime
import email.utils
import json
import random
from dataclasses import dataclass

from client.errors import ApiProblem, Disconnected, ServiceUnreachable
from client.steps import JSON, Answer, Call, Open, Pause, Send, Steps

_AWAY = (502, 503, 504)
_TOO_MANY = 429


@dataclass(frozen=True)
class RetryPolicy:
    """How patient a client is.

    Attributes:
        retries: How often something is tried again before it is given up; of a download and of
            events, how often in a row without getting on.
        first_pause: Seconds before the first retry; each further pause is twice as long, and a
            random part of up to half of it is left out, so that many clients do not come at once.
        longest_pause: Seconds; a service that asks for a longer one is not waited for.
    """

    retries: int = 6
    first_pause: float = 0.2
    longest_pause: float = 60.0


class Retries:
    """Counts what failed in a row."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy, self._failures = policy, 0

    def reset(self) -> None:
        """Something got on."""
        self._failures = 0

    def wait(self, error: Exception, least: float = 0.0) -> Steps[None]:
        """Wait before the next retry.

        Args:
            error: Raised if it is time to give up.
            least: Seconds that the service asks for.
        """
        policy = self._policy
        if self._failures >= policy.retries or least > policy.longest_pause:
            raise error
        pause = min(policy.first_pause * 2.0**self._failures, policy.longest_pause)
        self._failures += 1
        yield Pause(max(least, pause * random.uniform(0.5, 1.0)))


def persist(step: Send | Open, policy: RetryPolicy) -> Steps[Answer]:
    """Send a request until it is answered with success.

    It is sent again if the connection breaks, if there are too many requests, and if the service
    or a part of it is away; a request that must not be done twice only if it was not done.

    Raises:
        ApiProblem: The service refuses.
        ServiceUnreachable: It did not answer, however often it was asked.
    """
    retries, call = Retries(policy), step.call
    while True:
        least = 0.0
        try:
            answer: Answer = yield step
        except Disconnected as lost:
            error: Exception = ServiceUnreachable(lost.detail)
            if lost.sent and not call.repeatable:
                raise error from lost
        else:
            if 200 <= answer.status < 300:
                return answer
            error = problem_of(answer)
            if not _may_be_repeated(answer.status, call):
                raise error
            least = _retry_after(answer)
        yield from retries.wait(error, least)


def ask(call: Call, policy: RetryPolicy) -> Steps[JSON]:
    """The JSON object that a request is answered with; an empty one if there is no content."""
    answer = yield from persist(Send(call), policy)
    return read_json(answer) if answer.body else {}


def read_json(answer: Answer) -> JSON:
    """The JSON object of an answer.

    Raises:
        ServiceUnreachable: There is none: this is not the service.
    """
    try:
        content = json.loads(answer.body)
    except ValueError as error:
        raise ServiceUnreachable(f"The answer is no JSON ({error}); is this the service?") from None
    if not isinstance(content, dict):
        raise ServiceUnreachable("The answer is no JSON object; is this the service?")
    return content


def problem_of(answer: Answer) -> ApiProblem:
    """The problem that an answer tells of."""
    try:
        problem = json.loads(answer.body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or "type" not in problem:
        detail = f"The service answered with the HTTP status {answer.status}."
        problem = {"type": "unexpected-answer", "status": answer.status, "detail": detail}
    return ApiProblem(problem)


def _may_be_repeated(status: int, call: Call) -> bool:
    return status == _TOO_MANY or (status in _AWAY and call.repeatable)


def _retry_after(answer: Answer) -> float:
    """Seconds that the service asks to wait, given as a number or as a date."""
    header = answer.headers.get("retry-after", "")
    if header.isdecimal():
        return float(header[:9])
    try:
        time = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    if time.tzinfo is None:
        time = time.replace(tzinfo=datetime.UTC)
    return max(0.0, (time - datetime.datetime.now(datetime.UTC)).total_seconds())
