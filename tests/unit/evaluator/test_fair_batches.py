import dataclasses

from eventalarm.evaluator.fair_batches import MODERATE, portions


@dataclasses.dataclass(frozen=True)
class One:
    project_id: str
    number: int


def of(project, count):
    return [One(project, number) for number in range(count)]


def test_a_moderate_batch_stays_as_it_is():
    matches = of("a", MODERATE - 1) + of("b", 1)
    assert portions(matches, 10_000) == [matches]
    assert portions([], 10) == []
    assert portions(of("a", 5), 2) == [of("a", 5)[:2], of("a", 5)[2:4], of("a", 5)[4:]]


def test_a_flood_of_one_project_comes_after_the_others_in_transactions_of_its_own():
    flood, some, few = of("flood", 3000), of("some", 900), of("few", 3)
    mixed = [*flood[:2000], *few, *some, *flood[2000:]]
    assert portions(mixed, 10_000) == [few, some + flood]
    first, *rest = portions(mixed, 1000)
    assert first == few
    assert [one for part in rest for one in part] == some + flood


def test_one_project_alone_is_not_divided_further():
    assert portions(of("a", 3000), 10_000) == [of("a", 3000)]
