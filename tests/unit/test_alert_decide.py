"""Every signal gets one verdict with its reason, within the limits of customer, rep and message."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.alerts.decide import Episode, History, Plan, decide
from services.alerts.dismissals import Dismissal
from services.alerts.policy import Candidate, Policy, Reason, Verdict, standard_policy
from shared.domain.signal import Action, Severity

NOW = datetime(2011, 2, 28, 12, tzinfo=UTC)


def a_policy(**given: Any) -> Policy:
    """Five messages a rep, nothing under 5, nobody held out, live."""
    values: dict[str, Any] = {
        "messages_per_rep": 5,
        "call_cost": Decimal(5),
        "correction_cost": Decimal(3),
        "holdout_percent": 0,
        "is_shadow": False,
    }
    return standard_policy(**(values | given))


def a_candidate(signal_id: int = 1, **given: Any) -> Candidate:
    """A selling signal worth 20; every signal has its own order, customer and subject unless told."""
    values: dict[str, Any] = {
        "signal_id": signal_id,
        "kind": "cross_sell",
        "customer_id": signal_id,
        "subject": f"product:{signal_id}",
        "order_id": signal_id,
        "occasion": f"order:{signal_id}",
        "recipient_id": 7,
        "value": Decimal(20),
        "episode_ttl": timedelta(days=28),
        "as_of": NOW - timedelta(hours=1),
        "expires_at": NOW + timedelta(days=2),
        "business_day": date(2011, 2, 28),
    }
    return Candidate(**(values | given))


def an_episode(**given: Any) -> Episode:
    """The open episode of `a_candidate()`, said a day ago when it was worth 20."""
    values: dict[str, Any] = {
        "id": 1,
        "customer_id": 1,
        "kind": "cross_sell",
        "subject": "product:1",
        "number": 1,
        "opened_at": NOW - timedelta(days=1),
        "last_seen_at": NOW - timedelta(days=1),
        "quiet_after": NOW + timedelta(days=27),
        "holdout_bucket": 50,
        "is_holdout": False,
        "value": Decimal(20),
        "notified_at": NOW - timedelta(days=1),
    }
    return Episode(**(values | given))


A_DISMISSAL = Dismissal(
    1, None, "cross_sell", "product:1", "not_worth_it", NOW + timedelta(days=1), Decimal(90)
)


def history_of(episode: Episode) -> History:
    return History(episodes={episode.key: episode})


def verdicts(plan: Plan) -> list[tuple[int, str, str]]:
    return sorted(
        (each.candidate.signal_id, each.verdict.value, each.reason.value) for each in plan.decisions
    )


@pytest.mark.parametrize(
    ("candidate", "history", "expected"),
    [
        pytest.param({}, History(), ("notify", "first_time"), id="what was never said is sent"),
        pytest.param(
            {"value": Decimal("4.99")}, History(), ("inbox_only", "too_weak"), id="too little money is kept"
        ),
        pytest.param(
            {"is_proven": False}, History(), ("inbox_only", "unproven_model"), id="an unproven model is kept"
        ),
        pytest.param(
            {"is_inbox_only": True},
            History(),
            ("inbox_only", "for_the_inbox"),
            id="a kind for the inbox is kept",
        ),
        pytest.param(
            {"is_withdrawn": True}, History(), ("suppressed", "withdrawn"), id="the withdrawn is dropped"
        ),
        pytest.param(
            {"is_superseded": True}, History(), ("suppressed", "superseded"), id="the overtaken is dropped"
        ),
        pytest.param({"expires_at": NOW}, History(), ("suppressed", "expired"), id="the expired is dropped"),
        pytest.param(
            {"is_contactable": False},
            History(),
            ("suppressed", "customer_not_contactable"),
            id="a blocked customer is left alone",
        ),
        pytest.param(
            {"hold": "complaint"},
            History(),
            ("suppressed", "open_complaint"),
            id="nothing is sold while a complaint is open",
        ),
        pytest.param(
            {"hold": "credit_hold"}, History(), ("suppressed", "credit_hold"), id="nor on credit hold"
        ),
        pytest.param({"hold": "strike"}, History(), ("suppressed", "on_hold"), id="nor on any other hold"),
        pytest.param(
            {"hold": "complaint", "is_selling": False},
            History(),
            ("notify", "first_time"),
            id="a mistake is told all the same",
        ),
        pytest.param(
            {},
            history_of(an_episode()),
            ("suppressed", "within_repeat_interval"),
            id="what was said stays quiet",
        ),
        pytest.param(
            {"value": Decimal("29.99")},
            history_of(an_episode()),
            ("suppressed", "within_repeat_interval"),
            id="a little more money stays quiet",
        ),
        pytest.param(
            {"value": Decimal(30)},
            history_of(an_episode()),
            ("notify", "much_more_money"),
            id="half as much again is sent",
        ),
        pytest.param(
            {},
            history_of(an_episode(is_open=False)),
            ("notify", "first_time"),
            id="a closed episode makes room for a new one",
        ),
        pytest.param(
            {},
            history_of(an_episode(quiet_after=NOW)),
            ("notify", "first_time"),
            id="an episode fallen quiet makes room for a new one",
        ),
        pytest.param(
            {},
            history_of(an_episode(notified_at=None)),
            ("notify", "first_time"),
            id="what was only kept so far is sent",
        ),
        pytest.param(
            {"value": Decimal(90)},
            History(dismissals=(A_DISMISSAL,)),
            ("suppressed", "dismissed_by_rep"),
            id="what the rep dismissed stays away",
        ),
        pytest.param(
            {"value": Decimal(30), "stake": Decimal(300)},
            history_of(an_episode(stake=Decimal(200))),
            ("notify", "much_more_money"),
            id="half as much again is news",
        ),
        pytest.param(
            {"value": Decimal(90), "stake": Decimal(299)},
            history_of(an_episode(stake=Decimal(200))),
            ("suppressed", "within_repeat_interval"),
            id="a call that is worth more about the same money is none",
        ),
        pytest.param(
            {"value": Decimal(90)},
            history_of(an_episode(snoozed_until=NOW + timedelta(hours=1))),
            ("suppressed", "snoozed_by_rep"),
            id="what the rep put off stays away till then",
        ),
        pytest.param(
            {"value": Decimal(90)},
            history_of(an_episode(snoozed_until=NOW)),
            ("notify", "much_more_money"),
            id="what was put off comes back",
        ),
        pytest.param(
            {},
            history_of(an_episode(is_holdout=True, notified_at=None)),
            ("notify", "first_time"),
            id="who was left alone last quarter is not for ever",
        ),
        pytest.param(
            {},
            History(occasions_notified=frozenset({"order:1"})),
            ("inbox_only", "amended"),
            id="an amendment of what was said is not said again",
        ),
        pytest.param(
            {},
            History(messages_today={7: 5}),
            ("inbox_only", "over_budget"),
            id="the sixth message of a rep's day is kept",
        ),
        pytest.param(
            {"severity": Severity.URGENT, "is_selling": False},
            History(messages_today={7: 5}),
            ("notify", "first_time"),
            id="an urgent one is sent whatever the budget",
        ),
        pytest.param(
            {},
            History(customers_sold_to_today=frozenset({1})),
            ("inbox_only", "over_customer_limit"),
            id="the second selling message of a customer's day is kept",
        ),
        pytest.param(
            {"order_id": None, "kind": "stopped_item", "value": Decimal(29)},
            History(notified_lately={(1, "stopped_item"): Decimal(20)}),
            ("inbox_only", "over_kind_limit"),
            id="the next thing a customer stopped waits until two weeks after the first",
        ),
        pytest.param(
            {"order_id": None, "kind": "stopped_item", "value": Decimal(30)},
            History(notified_lately={(1, "stopped_item"): Decimal(20)}),
            ("notify", "first_time"),
            id="unless it is about half as much money again",
        ),
        pytest.param(
            {"is_selling": False, "kind": "margin"},
            History(customers_sold_to_today=frozenset({1})),
            ("notify", "first_time"),
            id="what is not selling is not bound by that limit",
        ),
    ],
)
def test_a_verdict_carries_its_reason(
    candidate: dict[str, Any], history: History, expected: tuple[str, str]
) -> None:
    plan = decide([a_candidate(**candidate)], a_policy(), history, NOW)

    assert verdicts(plan) == [(1, *expected)]


def test_shadow_mode_decides_all_the_same_and_sends_nothing() -> None:
    plan = decide([a_candidate()], a_policy(is_shadow=True), History(), NOW)

    assert verdicts(plan) == [(1, "inbox_only", "shadow_mode")]
    assert [each.reason for each in plan.alerts] == [Reason.SHADOW_MODE]
    assert plan.episodes[0].notified_at == NOW


def test_an_order_becomes_one_message_of_its_three_best_points() -> None:
    points = [a_candidate(n, occasion="order:1", customer_id=1, value=Decimal(10 * n)) for n in (1, 2, 3, 4)]

    plan = decide(points, a_policy(), History(), NOW)

    ranks = {each.candidate.signal_id: each.rank for each in plan.decisions}
    assert ranks == {4: 1, 3: 2, 2: 3, 1: None}
    assert (1, "inbox_only", "not_in_top_three") in verdicts(plan)
    (alert,) = plan.alerts
    assert alert.value == Decimal(90)


def test_the_urgent_point_leads_its_message_however_little_it_is_worth() -> None:
    points = [a_candidate(n, occasion="order:1", customer_id=1, value=Decimal(10 * n)) for n in (2, 3, 4)]
    urgent = a_candidate(1, kind="margin", severity=Severity.URGENT, is_selling=False, value=Decimal(6))

    plan = decide([*points, urgent], a_policy(), History(), NOW)

    assert {each.candidate.signal_id: each.rank for each in plan.decisions}[1] == 1
    assert plan.alerts[0].severity is Severity.URGENT


def test_the_budget_goes_to_the_most_valuable_messages() -> None:
    candidates = [a_candidate(n, value=Decimal(10 + n)) for n in range(1, 8)]

    plan = decide(candidates, a_policy(), History(), NOW)

    assert [each[0] for each in verdicts(plan) if each[1] == "notify"] == [3, 4, 5, 6, 7]
    assert [each[2] for each in verdicts(plan) if each[1] == "inbox_only"] == ["over_budget"] * 2


def test_each_rep_has_a_budget_of_their_own() -> None:
    candidates = [a_candidate(n, recipient_id=n) for n in range(1, 8)]

    assert {each[1] for each in verdicts(decide(candidates, a_policy(), History(), NOW))} == {"notify"}


def test_two_orders_of_one_customer_become_one_selling_message() -> None:
    small = a_candidate(1, customer_id=9, value=Decimal(10))
    large = a_candidate(2, customer_id=9, value=Decimal(50))

    plan = decide([small, large], a_policy(), History(), NOW)

    assert verdicts(plan) == [(1, "inbox_only", "over_customer_limit"), (2, "notify", "first_time")]


def test_one_episode_speaks_once_even_when_two_orders_raise_it_together() -> None:
    first = a_candidate(1, customer_id=9, subject="same", is_selling=False)
    second = a_candidate(2, customer_id=9, subject="same", is_selling=False, value=Decimal(25))

    plan = decide([first, second], a_policy(), History(), NOW)

    assert verdicts(plan) == [(1, "suppressed", "notified_by_stronger_signal"), (2, "notify", "first_time")]


@pytest.mark.parametrize(
    ("days_ago", "value", "order_id", "reason"),
    [
        pytest.param(
            2, 20, None, "within_repeat_interval", id="two days after it was no longer so: nothing new"
        ),
        pytest.param(2, 31, None, "much_more_money", id="two days after, and worth half as much again"),
        pytest.param(20, 20, None, "first_time", id="weeks after: a new question"),
        pytest.param(2, 20, 1, "first_time", id="on another order: a new question"),
    ],
)
def test_what_flickers_about_its_threshold_is_not_told_again(
    days_ago: int, value: int, order_id: int | None, reason: str
) -> None:
    past = an_episode(
        is_open=False, closed_at=NOW - timedelta(days=days_ago), notified_at=NOW - timedelta(days=25)
    )
    found = a_candidate(order_id=order_id, occasion="customer:1:2011-02-28", value=Decimal(value))
    plan = decide([found], a_policy(), history_of(past), NOW)
    assert [each.reason.value for each in plan.decisions] == [reason]
    assert [each.number for each in plan.episodes] == [2]


def test_what_is_said_is_noted_in_its_episode() -> None:
    (episode,) = decide([a_candidate(value=Decimal(33))], a_policy(), History(), NOW).episodes

    assert (episode.number, episode.notified_at, episode.value) == (1, NOW, Decimal(33))


def held_out(found: Sequence[Candidate], policy: Policy) -> set[int]:
    """The signals that are held out."""
    plan = decide(found, policy, History(), NOW)
    return {each.candidate.signal_id for each in plan.decisions if each.reason is Reason.HELD_OUT}


HALF = a_policy(holdout_percent=50)


def test_about_the_asked_share_of_customers_is_left_alone_and_of_urgent_signals_none() -> None:
    selling = [a_candidate(n, recipient_id=n) for n in range(1, 201)]
    urgent = [replace(each, severity=Severity.URGENT, is_selling=False) for each in selling]

    assert 70 <= len(held_out(selling, HALF)) <= 130
    assert held_out(urgent, HALF) == set()


def test_a_customer_is_left_alone_by_all_kinds_together_and_only_for_a_quarter() -> None:
    def of(kind: str, day: date) -> set[int]:
        return held_out(
            [a_candidate(n, recipient_id=n, kind=kind, business_day=day) for n in range(1, 101)], HALF
        )

    first = of("cross_sell", date(2011, 1, 3))

    assert of("going_quiet", date(2011, 3, 31)) == first
    assert of("cross_sell", date(2011, 4, 1)) != first


def test_nobody_is_held_out_of_what_would_not_be_sent_anyway() -> None:
    weak = [a_candidate(n, value=Decimal(1)) for n in range(1, 101)]
    unproven = [a_candidate(n, is_proven=False) for n in range(1, 101)]
    over_budget = [a_candidate(n) for n in range(1, 101)]

    assert held_out(weak, HALF) == held_out(unproven, HALF) == set()
    assert held_out(over_budget, a_policy(holdout_percent=50, messages_per_rep=0)) == set()


def test_who_is_left_alone_takes_nobody_elses_place() -> None:
    plan = decide([a_candidate(n, value=Decimal(900 - n)) for n in range(1, 101)], HALF, History(), NOW)
    reasons = [each.reason for each in sorted(plan.decisions, key=lambda each: each.candidate.signal_id)]

    assert reasons.count(Reason.FIRST_TIME) == 5
    last_sent = max(place for place, each in enumerate(reasons) if each is Reason.FIRST_TIME)
    assert set(reasons[last_sent + 1 :]) == {Reason.OVER_BUDGET}
    assert {each.is_holdout for each in plan.episodes} == {True, False}


def test_nobody_is_left_alone_of_key_accounts() -> None:
    exempt = a_policy(holdout_percent=50, holdout_exempt=["Key"])
    key, others = (
        [a_candidate(n, recipient_id=n, segment=name) for n in range(1, 101)] for name in ("KEY", "b")
    )

    assert held_out(key, exempt) == set()
    assert held_out(others, exempt)


def test_the_version_of_a_policy_changes_with_its_rules_only() -> None:
    assert a_policy().version == a_policy().version
    assert a_policy().version != a_policy(call_cost=Decimal(6)).version


some_candidates = st.lists(
    st.builds(
        lambda customer, order, subject, value, urgent, selling, rep: {
            "customer_id": customer,
            "occasion": f"order:{customer * 10 + order}",
            "subject": subject,
            "value": Decimal(value),
            "severity": Severity.URGENT if urgent else Severity.NORMAL,
            "is_selling": selling,
            "recipient_id": rep,
        },
        st.integers(1, 4),
        st.integers(1, 3),
        st.sampled_from("abc"),
        st.integers(0, 60),
        st.booleans(),
        st.booleans(),
        st.just(7),
    ),
    max_size=25,
)


@given(some_candidates)
def test_the_limits_hold_whatever_comes(drawn: Sequence[dict[str, Any]]) -> None:
    candidates = [a_candidate(n, **each) for n, each in enumerate(drawn, start=1)]

    plan = decide(candidates, a_policy(messages_per_rep=3), History(), NOW)

    assert sorted(each.candidate.signal_id for each in plan.decisions) == list(range(1, len(drawn) + 1))
    sent = [each for each in plan.alerts if each.verdict is Verdict.NOTIFY]
    assert sum(each.severity is not Severity.URGENT for each in sent) <= 3
    assert len({each.occasion for each in plan.alerts}) == len(plan.alerts)
    selling = [each.customer_id for each in sent if each.is_selling]
    assert len(selling) == len(set(selling))
    points = [each.candidate for each in plan.decisions if each.verdict is Verdict.NOTIFY]
    assert len({each.key for each in points}) == len(points)
    for alert in sent:
        assert sum(each.value for each in points if each.occasion == alert.occasion) >= 5


def beside(signal_id: int, **given: Any) -> Candidate:
    """Another signal of the first one's order."""
    return a_candidate(signal_id, occasion="order:1", order_id=1, customer_id=1, **given)


def test_a_mention_stands_beside_a_reason_to_call_and_never_carries_a_message() -> None:
    """Four points of 4 are no call: none of them brings what it costs."""
    weak = [beside(number, value=Decimal(4), action=Action.MENTION) for number in range(1, 5)]
    assert {each[2] for each in verdicts(decide(weak, a_policy(), History(), NOW))} == {"too_weak"}


def test_a_mistake_needs_what_a_correction_costs_and_its_message_carries_no_offers() -> None:
    found = [
        beside(1, value=Decimal(4), action=Action.CORRECTION, is_selling=False),
        beside(2, value=Decimal(90), action=Action.MENTION),
    ]
    assert verdicts(decide(found, a_policy(), History(), NOW)) == [
        (1, "notify", "first_time"),
        (2, "inbox_only", "beside_a_mistake"),
    ]


def test_a_mistake_too_small_to_correct_leads_no_message() -> None:
    found = [
        beside(1, value=Decimal(2), action=Action.CORRECTION, is_selling=False, severity=Severity.URGENT),
        beside(2, value=Decimal(90), action=Action.MENTION),
    ]
    plan = decide(found, a_policy(), History(), NOW)
    ranks = {each.candidate.signal_id: each.rank for each in plan.decisions}
    assert ranks == {2: 1, 1: 2}


def test_mistakes_take_no_budget_and_are_never_held_out() -> None:
    mistake = a_candidate(1, action=Action.CORRECTION, is_selling=False)
    plan = decide([mistake], a_policy(messages_per_rep=0, holdout_percent=50), History(), NOW)
    assert verdicts(plan) == [(1, "notify", "first_time")]


def test_a_talking_point_stands_beside_a_reason_to_call_and_is_none() -> None:
    of_day = {"occasion": "customer:1:2011-02-28", "order_id": None, "customer_id": 1}
    found = [
        a_candidate(1, **of_day, value=Decimal(90), action=Action.TALKING_POINT),
        a_candidate(2, **of_day, value=Decimal(30)),
    ]
    beside = decide(found, a_policy(), History(), NOW)
    assert {each.candidate.signal_id: each.rank for each in beside.decisions} == {2: 1, 1: 2}
    assert verdicts(decide(found[:1], a_policy(), History(), NOW)) == [(1, "inbox_only", "too_weak")]


def test_prices_that_are_low_as_a_habit_stand_beside_others_within_the_budget() -> None:
    of_day = {"occasion": "customer:1:2011-02-28", "order_id": None, "customer_id": 1}
    found = [
        a_candidate(1, **of_day, value=Decimal(4), action=Action.CORRECTION, is_selling=False),
        a_candidate(2, **of_day, value=Decimal(30)),
    ]
    plan = decide(found, a_policy(messages_per_rep=1), History(), NOW)
    assert {each.candidate.signal_id: each.rank for each in plan.decisions} == {2: 1, 1: 2}
    none_left = decide(found[:1], a_policy(messages_per_rep=0), History(), NOW)
    assert verdicts(none_left) == [(1, "inbox_only", "over_budget")]


def test_small_points_may_stand_beside_a_large_one_but_not_alone() -> None:
    together = [
        a_candidate(1, value=Decimal(6)),
        a_candidate(2, occasion="order:1", customer_id=1, value=Decimal(2)),
    ]
    alone = [a_candidate(3, value=Decimal(3))]

    plan = decide(together + alone, a_policy(), History(), NOW)

    assert verdicts(plan) == [
        (1, "notify", "first_time"),
        (2, "notify", "first_time"),
        (3, "inbox_only", "too_weak"),
    ]


@pytest.mark.parametrize(
    ("by", "hidden", "told"),
    [
        pytest.param(
            {"kind": "going_quiet", "is_selling": False},
            {"kind": "stopped_item"},
            Reason.INHIBITED,
            id="who goes quiet: what they stopped",
        ),
        pytest.param(
            {"kind": "going_quiet", "is_selling": False},
            {"kind": "cross_sell"},
            Reason.INHIBITED,
            id="who goes quiet: whatever sells",
        ),
        pytest.param(
            {"kind": "going_quiet", "is_selling": False},
            {"kind": "margin_erosion", "is_selling": False},
            Reason.FIRST_TIME,
            id="who goes quiet: not what their prices lose",
        ),
        pytest.param(
            {"kind": "going_quiet", "is_selling": False},
            {"kind": "below_floor", "severity": Severity.URGENT},
            Reason.FIRST_TIME,
            id="nothing hides what is urgent",
        ),
        pytest.param(
            {"kind": "margin_erosion", "is_selling": False},
            {"kind": "discount_outlier", "is_selling": False},
            Reason.INHIBITED,
            id="a customer whose margin slips: its single prices",
        ),
        pytest.param(
            {"kind": "going_quiet", "is_selling": False, "is_proven": False},
            {"kind": "cross_sell"},
            Reason.FIRST_TIME,
            id="an unproven model hides nothing",
        ),
    ],
)
def test_a_graver_question_hides(by: dict[str, Any], hidden: dict[str, Any], told: Reason) -> None:
    graver = a_candidate(1, order_id=None, occasion="customer:1:2011-02-28", **by)
    other = a_candidate(2, customer_id=1, **hidden)
    plan = decide([other, graver], a_policy(), History(), NOW)
    (decision,) = [each for each in plan.decisions if each.candidate is other]
    assert decision.reason is told
    assert decision.inhibited_by == (by["kind"] if told is Reason.INHIBITED else None)
    assert (other.key in {each.key for each in plan.episodes}) == (told is not Reason.INHIBITED)


def test_an_open_question_of_an_earlier_day_hides_too() -> None:
    history = History(open_kinds=frozenset({(1, "going_quiet")}))
    plan = decide([a_candidate(1), a_candidate(2)], a_policy(), history, NOW)
    assert [(each.reason, each.inhibited_by) for each in plan.decisions] == [
        (Reason.INHIBITED, "going_quiet"),
        (Reason.FIRST_TIME, None),
    ]
