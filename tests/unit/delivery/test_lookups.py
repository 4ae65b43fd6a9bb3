from eventalarm.delivery.lookups import LookupQueue


def take_all(queue):
    taken = []
    while (key := queue.take()) is not None:
        taken.append(key)
    return taken


def test_one_project_leaves_half_of_the_lookups_to_others():
    queue = LookupQueue(64)
    for number in range(150):
        queue.put(("dead", f"h{number}"), known=False)
    assert len(take_all(queue)) == 24
    for number in range(20):
        queue.put(("healthy", f"h{number}"), known=False)
    assert len(take_all(queue)) == 12


def test_names_that_resolved_before_have_a_reserve():
    queue = LookupQueue(64)
    for project in "abcdefgh":
        for number in range(50):
            queue.put((project, f"h{number}"), known=False)
        take_all(queue)
    queue.put(("healthy", "new"), known=False)
    queue.put(("healthy", "known"), known=True)
    assert take_all(queue) == [("healthy", "known")]


def test_what_ends_is_given_to_those_with_the_fewest():
    queue = LookupQueue(8)
    for number in range(50):
        queue.put(("dead", f"h{number}"), known=False)
    running = take_all(queue)
    queue.put(("healthy", "a"), known=False)
    queue.put(("healthy", "b"), known=False)
    assert ("healthy", "a") in take_all(queue)
    queue.finished(running[0])
    assert take_all(queue) == [("healthy", "b")] or take_all(queue) == []


def test_what_nobody_waits_for_any_more_is_taken_out():
    queue = LookupQueue(8)
    queue.put(("p", "a"), known=False)
    queue.put(("p", "b"), known=True)
    assert queue.remove(("p", "a"))
    assert not queue.remove(("p", "a"))
    assert take_all(queue) == [("p", "b")]
    assert not queue.remove(("p", "b"))
