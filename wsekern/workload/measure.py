"""The one measure of a service, on wafers and on GPUs alike: whole requests.

A request is a prompt and its answer. Of ``users`` who each send the next request ``think`` seconds after the answer is there,

    rate = users / (TTFT + (output - 1) TPOT + think)

requests are served in a second; TTFT and TPOT are the mean times to the first token and per further token under that load. All
totals (tokens, joules and dollars) follow from this rate, so that they carry the prompts.
"""

from dataclasses import dataclass

from wsekern.shown import Tabled


@dataclass(frozen=True, kw_only=True)
class Measure(Tabled):
    """``users`` served in turns, with prompts of ``prompt`` and answers of ``output`` tokens; times in seconds."""

    users: float
    prompt: float
    output: float
    time_to_first_token_seconds: float
    """Under the load of all users, the wait for others included."""
    time_per_output_token_seconds: float
    """Of each token after the first, under the load of all users."""
    think_seconds: float = 0.0
    """Between an answer and the next prompt of the same user."""

    @property
    def request_seconds(self) -> float:
        """From prompt to last token."""
        return self.time_to_first_token_seconds + (self.output - 1.0) * self.time_per_output_token_seconds

    @property
    def requests_per_second(self) -> float:
        """Of all users together: Little's law for the users, each of whom is either served or thinks."""
        return self.users / (self.request_seconds + self.think_seconds)

    @property
    def tokens_per_second(self) -> float:
        """Output tokens of all users together."""
        return self.requests_per_second * self.output

    @property
    def prompt_tokens_per_second(self) -> float:
        """Prompt tokens of all users together."""
        return self.requests_per_second * self.prompt

    @property
    def tokens_per_second_per_user(self) -> float:
        """Speed at which one user sees an answer grow: 1 / TPOT, prompts and waiting left out."""
        return 1.0 / self.time_per_output_token_seconds

    def joules_per_request(self, watts: float) -> float:
        """Energy of one request, prompt included, on a system that draws ``watts`` at this load."""
        return watts / self.requests_per_second

    def joules_per_token(self, watts: float) -> float:
        """Energy of one output token, its share of the prompt included."""
        return watts / self.tokens_per_second

    def usd_per_request(self, usd_per_hour: float) -> float:
        """Price of one request, prompt included."""
        return usd_per_hour / 3600.0 / self.requests_per_second

    def usd_per_million_tokens(self, usd_per_hour: float) -> float:
        """Price of a million output tokens, their share of the prompts included."""
        return usd_per_hour / 3600.0 / self.tokens_per_second * 1e6
