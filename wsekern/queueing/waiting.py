"""Closed queues in formulas: users who take turns, and one server that they wait for."""


def waiting(users: float, service: float, elsewhere: float) -> float:
    """Seconds that a user waits for others before one server: each of ``users`` comes back ``elsewhere`` seconds after it was
    served for ``service`` seconds.

    Mean value analysis of the closed queue with Schweitzer's approximation, and half a service for the user who is found in
    service (Reiser and Lavenberg 1980; Schweitzer 1979): the positive root of a quadratic. It is no less than what keeps the
    server from serving more than it can. No wait for one user; where nobody is elsewhere nearly all users wait in line.
    """
    if users <= 1.0:
        return 0.0
    excess = users * service - elsewhere
    root = excess * excess + 4.0 * service * elsewhere - 2.0 * service * service * (users - 1.0)
    return max(0.0, 0.5 * (excess + max(0.0, root) ** 0.5) - service, excess - service)
