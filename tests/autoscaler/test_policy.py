"""The policy, against a slow and obvious reference, and rule by rule with the original design's numbers."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.policy import Bounds, Count, Decision, Floor, Limit, Moment, Rules, Sample, decide, remember
from jobs.states import Class

NOW = 1_800_000_000.0
RULES = Rules()
BOUNDS = Bounds()


def sample(
    depth: int | None = 0, ready: int | None = 10, cpu: float | None = 10.0, memory: float | None = 10.0
) -> Sample:
    queue = dict.fromkeys(Class) if depth is None else dict.fromkeys(Class, 0)
    if depth is not None:
        queue[Class.STANDARD] = depth
    return Sample(queue=queue, ready=ready, cpu_percent=cpu, memory_percent=memory)


def steady(wanted: int, total: int, *, since: float = 7200.0, every: float = 5.0) -> tuple[Moment, ...]:
    """A history in which nothing ever changed."""
    steps = int(since / every)
    return tuple(Moment(at=NOW - every * at, wanted=wanted, total=total) for at in range(steps, 0, -1))


def at_once(count: int, seen: Sample, history: tuple[Moment, ...], **more: object) -> Decision:
    keywords = {"rules": RULES, "bounds": BOUNDS, **more}
    return decide(fleet="all", now=NOW, count=Count(baseline=count), sample=seen, history=history, **keywords)  # type: ignore[arg-type]


# -- the reference -------------------------------------------------------------------------------------------


def reference(
    now: float,
    count: int,
    seen: Sample,
    history: list[Moment],
    rules: Rules,
    bounds: Bounds,
    floors: list[int],
) -> int:
    """The rules once more, each as one would say it, second by second and without regard to speed."""

    def standing(name: str, moment: float) -> int:
        value = count
        for each in history:
            if each.at <= moment:
                value = getattr(each, name)
        return value

    def stood(name: str, seconds: float) -> list[int]:
        moments = {now - seconds} | {each.at for each in history if now - seconds < each.at <= now}
        return [standing(name, moment) for moment in sorted(moments)]

    ready = count if seen.ready is None else seen.ready
    wants = []
    depths = [depth for depth in seen.queue.values() if depth is not None]
    if depths:
        wants.append(ask(Decimal(sum(depths)), Decimal(str(rules.queue_per_worker)), ready, count, rules))
    for value, target in ((seen.cpu_percent, rules.cpu_percent), (seen.memory_percent, rules.memory_percent)):
        if value is not None and ready > 0:
            wants.append(ask(Decimal(str(value)) * ready, Decimal(str(target)), ready, count, rules))
    unknown = len(depths) < len(Class) or seen.ready is None
    unknown = unknown or (ready > 0 and None in (seen.cpu_percent, seen.memory_percent))
    if unknown:
        wants.append(count)
    wanted = max(wants)

    highest_low = min([*stood("wanted", rules.up_after_s), wanted])
    lowest_high = max([*stood("wanted", rules.down_after_s), wanted])
    total = count
    if highest_low > count:
        then = min(count, standing("total", now - rules.up_period_s))
        room = max(math.floor(Decimal(then) * Decimal(str(rules.up_percent)) / 100), rules.up_count)
        total = max(count, min(highest_low, then + room))
    elif lowest_high < count:
        then = max(count, standing("total", now - rules.down_period_s))
        room = max(math.floor(Decimal(then) * Decimal(str(rules.down_percent)) / 100), 1)
        total = min(count, max(lowest_high, then - room))
    return min(bounds.maximum, max(total, bounds.minimum, *floors))


def ask(load: Decimal, target: Decimal, ready: int, count: int, rules: Rules) -> int:
    """ceil(ready × value / target), where *load* is ready × value already."""
    need = int((load / target).to_integral_value(rounding=ROUND_CEILING))
    if ready == 0:
        return max(need, count) if load > 0 else need
    low, high = (target * ready * (1 + Decimal(str(rules.tolerance)) * sign) for sign in (-1, 1))
    if low <= load <= high:
        return count
    return max(need, count) if load > target * ready else need


counts = st.integers(0, 250)
maybe = st.one_of(st.none(), st.integers(0, 2000))
percents = st.one_of(st.none(), st.integers(0, 1000).map(lambda tenths: tenths / 10))
samples = st.builds(
    Sample,
    queue=st.fixed_dictionaries(dict.fromkeys(Class, maybe)),
    ready=st.one_of(st.none(), counts),
    cpu_percent=percents,
    memory_percent=percents,
)
rule_sets = st.builds(
    Rules,
    queue_per_worker=st.sampled_from([0.5, 1.0, 5.0]),
    tolerance=st.sampled_from([0.0, 0.1, 0.3]),
    up_after_s=st.sampled_from([0.0, 30.0]),
    down_after_s=st.sampled_from([0.0, 300.0]),
    up_percent=st.sampled_from([0.0, 50.0, 100.0]),
    down_percent=st.sampled_from([10.0, 33.3]),
    up_count=st.sampled_from([0, 4, 20]),
)
bounds_sets = st.tuples(st.integers(0, 60), st.integers(0, 200)).map(
    lambda pair: Bounds(minimum=pair[0], maximum=pair[0] + pair[1])
)
histories = st.lists(
    st.tuples(st.integers(1, 400), st.integers(0, 250), st.integers(0, 250)),
    max_size=25,
    unique_by=lambda each: each[0],
).map(
    lambda steps: [
        Moment(at=NOW - ago, wanted=wanted, total=total) for ago, wanted, total in sorted(steps, reverse=True)
    ]
)


@settings(max_examples=400, deadline=None)
@given(
    count=counts, seen=samples, past=histories, rules=rule_sets, bounds=bounds_sets, floors=st.lists(counts, max_size=3)
)
def test_the_policy_is_the_reference(
    count: int, seen: Sample, past: list[Moment], rules: Rules, bounds: Bounds, floors: list[int]
) -> None:
    """For every state, history and set of rules, both say the same count."""
    decision = decide(
        fleet="all",
        now=NOW,
        count=Count(baseline=count),
        sample=seen,
        history=past,
        rules=rules,
        bounds=bounds,
        floors=[Floor(minimum=each, reason="a floor") for each in floors],
    )
    assert decision.total == reference(NOW, count, seen, past, rules, bounds, floors)


@settings(max_examples=150, deadline=None)
@given(loads=st.lists(st.tuples(samples, st.integers(1, 40)), min_size=1, max_size=40))
def test_no_walk_breaks_a_promise(loads: list[tuple[Sample, int]]) -> None:
    """Along any road: within the bounds, never too fast, never fewer while anything is missing, and baseline within."""
    now, count, history = NOW, Count(baseline=40), ()
    totals = [(NOW, 40)]
    for seen, seconds in loads:
        now += seconds
        before = count.total
        decision = decide(fleet="all", now=now, count=count, sample=seen, history=history, rules=RULES, bounds=BOUNDS)
        assert 10 <= decision.total <= 200
        assert 0 <= decision.baseline <= decision.total
        assert decision.reasons
        if seen.missing:
            assert decision.total >= before
        history = remember(history, decision.moment, RULES)
        totals.append((now, decision.total))
        for at, total in totals:
            if now - at <= 30:
                assert decision.total <= total + max(total, 20)
            if now - at <= 60 and total == max(each for when, each in totals if when >= at):
                assert decision.total >= total - max(total // 10, 1)
        count = Count(baseline=decision.baseline, burst=decision.burst)


@given(past=histories, seen=samples, count=counts)
def test_what_is_forgotten_is_never_missed(past: list[Moment], seen: Sample, count: int) -> None:
    """A history trimmed by ``remember`` decides as the whole one does, now and later."""
    moment = Moment(at=NOW, wanted=count, total=count)
    whole, kept = [*past, moment], remember(past, moment, RULES)
    later = NOW + 5
    both = [
        decide(fleet="a", now=later, count=Count(baseline=count), sample=seen, history=each, rules=RULES, bounds=BOUNDS)
        for each in (whole, kept)
    ]
    assert both[0] == both[1]


# -- rule by rule --------------------------------------------------------------------------------------------


def test_the_numbers_are_the_original_designs() -> None:
    """Section 4.1, as the defaults."""
    assert (RULES.queue_per_worker, RULES.cpu_percent, RULES.memory_percent) == (5, 70, 80)
    assert (RULES.up_after_s, RULES.up_percent, RULES.up_count, RULES.up_period_s) == (30, 100, 20, 30)
    assert (RULES.down_after_s, RULES.down_percent, RULES.down_period_s) == (300, 10, 60)
    assert (BOUNDS.minimum, BOUNDS.maximum, RULES.tolerance) == (10, 200, 0.1)


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        (sample(depth=301, ready=20), 61),  # ceil(301 / 5)
        (sample(cpu=91.0, ready=20), 26),  # 20 × 91 / 70
        (sample(memory=100.0, ready=20), 25),  # 20 × 100 / 80
        (sample(depth=150, cpu=100.0, memory=100.0, ready=20), 30),  # the highest
        (sample(depth=110, ready=20), 20),  # 1.1 of the target: within the tolerance
        (sample(cpu=77.0, ready=20), 20),
        (sample(cpu=63.0, ready=20), 20),
        (sample(cpu=35.0, ready=20), 10),
        (sample(depth=0, cpu=0.0, memory=0.0, ready=20), 0),
    ],
)
def test_each_metric_asks_for_what_would_bring_it_to_its_target(seen: Sample, wanted: int) -> None:
    """ceil(ready × value / target), the highest of them, nothing within a tenth of the target."""
    assert at_once(20, seen, ()).wanted == wanted


def test_runners_that_are_starting_are_on_their_way() -> None:
    """Ten of forty are ready and busy: that is no reason to have thirteen."""
    assert at_once(40, sample(cpu=90.0, depth=60, ready=10), ()).wanted == 40


def test_up_waits_for_half_a_minute_of_agreement() -> None:
    """25 s of wanting 60 change nothing, 30 s do."""
    busy = sample(depth=150, ready=20)

    def after(seconds: int) -> int:
        calm = [Moment(at=NOW - 400, wanted=20, total=20)]
        wanting = [Moment(at=NOW - ago, wanted=30, total=20) for ago in range(seconds, 0, -5)]
        return at_once(20, busy, (*calm, *wanting)).total

    assert after(25) == 20
    assert after(30) == 30


def test_up_goes_to_the_lowest_of_the_half_minute() -> None:
    """A dip within the window is believed."""
    past = (*steady(38, 20), Moment(at=NOW - 12, wanted=25, total=20), Moment(at=NOW - 6, wanted=40, total=20))
    assert at_once(20, sample(depth=200, ready=20), past).total == 25


@pytest.mark.parametrize(("count", "most"), [(10, 30), (20, 40), (30, 60), (90, 180), (150, 200)])
def test_up_by_at_most_the_larger_of_double_and_twenty(count: int, most: int) -> None:
    """And not above the maximum."""
    assert at_once(count, sample(depth=5000, ready=count), steady(1000, count)).total == most


def test_the_speed_up_counts_from_thirty_seconds_ago() -> None:
    """Ten seconds after going from 20 to 40 there is no more to have; thirty after, there is."""
    seen = sample(depth=5000, ready=20)
    assert at_once(40, seen, (*steady(1000, 20), Moment(at=NOW - 10, wanted=1000, total=40))).total == 40
    assert at_once(40, seen, (*steady(1000, 20), Moment(at=NOW - 30, wanted=1000, total=40))).total == 80


def test_down_waits_for_five_minutes_of_agreement() -> None:
    """One high recommendation 299 s ago holds the count; 301 s ago and superseded, it does not."""
    calm = sample(ready=100)

    def high(ago: float) -> int:
        past = [Moment(at=NOW - ago, wanted=100, total=100), Moment(at=NOW - ago + 0.5, wanted=20, total=100)]
        return at_once(100, calm, (Moment(at=NOW - 900, wanted=20, total=100), *past)).total

    assert high(299) == 100
    assert high(301) == 90


@pytest.mark.parametrize(("count", "least"), [(100, 90), (105, 95), (15, 14), (11, 10)])
def test_down_by_at_most_a_tenth_a_minute(count: int, least: int) -> None:
    """Of the count a minute ago, rounded so that it is never more than a tenth, and one where that is less than one."""
    assert at_once(count, sample(ready=count), steady(0, count)).total == least


def test_the_speed_down_counts_from_a_minute_ago() -> None:
    """Half a minute after going from 100 to 90 there is no more to give."""
    past = (*steady(0, 100), Moment(at=NOW - 30, wanted=0, total=90))
    assert at_once(90, sample(ready=90), past).total == 90


@pytest.mark.parametrize(
    "seen",
    [
        sample(depth=None, ready=100),
        sample(ready=None),
        sample(ready=100, cpu=None),
        sample(ready=100, memory=None),
        Sample(queue={Class.STANDARD: 0}, ready=100, cpu_percent=1.0, memory_percent=1.0),
        Sample(),
    ],
)
def test_what_is_missing_never_scales_down(seen: Sample) -> None:
    """Whatever the rest says; and the reason names it."""
    decision = at_once(100, seen, steady(0, 100))
    assert decision.total == 100
    assert any("not known" in reason for reason in decision.reasons)


def test_what_is_missing_does_not_keep_the_rest_from_scaling_up() -> None:
    """The queue alone is enough."""
    seen = Sample(queue={Class.STANDARD: 600}, ready=None)
    assert at_once(100, seen, steady(120, 100)).total == 120


def test_after_a_start_it_waits_in_both_directions() -> None:
    """Without a history neither a burst nor a calm is believed at once."""
    assert at_once(20, sample(depth=1000, ready=20), ()).total == 20
    assert at_once(100, sample(ready=100), ()).total == 100


def test_a_floor_lifts_at_once_and_not_above_the_maximum() -> None:
    """No stabilisation, no speed limit, no metric needed."""
    event = Floor(minimum=100, reason="event course_launch")
    decision = at_once(10, Sample(), (), floors=[event, Floor(minimum=60, reason="schedule")])
    assert (decision.total, decision.baseline) == (100, 100)
    assert decision.limits == (Limit.FLOOR,)
    assert decision.reasons[-1] == "event course_launch: at least 100"
    assert at_once(10, Sample(), (), floors=[event], bounds=Bounds(minimum=3, maximum=20)).total == 20


def test_when_a_floor_ends_the_way_down_is_the_usual_one() -> None:
    """The metrics wanted ten all the time: a tenth a minute, without five more minutes of waiting."""
    assert at_once(100, sample(ready=100), steady(10, 100)).total == 90


def test_bounds_hold_at_once() -> None:
    """A count outside, by a change of the bounds or by hand, is brought back."""
    assert at_once(3, sample(ready=3), ()).total == 10
    assert at_once(300, sample(ready=300), ()).total == 200


def test_reasons_are_in_the_order_of_the_steps() -> None:
    """Each metric, the winner, what limited it, and the split."""
    decision = at_once(20, sample(depth=400, ready=20, cpu=84.0), steady(80, 20))
    assert decision.reasons == (
        "queue depth 400 at 5 a runner asks for 80",
        "CPU at 84 % of 70 % with 20 ready asks for 24",
        "memory at 10 % of 80 % with 20 ready asks for 3",
        "the highest is queue depth: 80",
        "at most 100 % or 20 more than the 20 of 30 s ago: 40",
        "20 of them as baseline, 20 as burst",
    )
    assert (decision.direction, decision.limits) == ("up", (Limit.SPEED,))


def test_the_baseline_is_what_was_needed_for_an_hour() -> None:
    """What is above that is burst; without a burst job all of it is baseline."""
    hour = (*steady(50, 50), Moment(at=NOW - 60, wanted=90, total=90))
    seen = sample(depth=450, ready=90)
    decision = decide(
        fleet="all",
        now=NOW,
        count=Count(baseline=10, burst=80),
        sample=seen,
        history=hour,
        rules=RULES,
        bounds=BOUNDS,
    )
    assert (decision.total, decision.baseline, decision.burst) == (90, 50, 40)
    assert at_once(90, seen, hour, burst=False).baseline == 90


def test_after_a_start_the_baseline_stays_as_it_is() -> None:
    """An hour that nobody remembers is no reason to turn baseline into burst."""
    seen = sample(depth=450, ready=90)
    decision = decide(
        fleet="all", now=NOW, count=Count(baseline=70, burst=20), sample=seen, history=(), rules=RULES, bounds=BOUNDS
    )
    assert (decision.total, decision.baseline) == (90, 70)
