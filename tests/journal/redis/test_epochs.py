"""Which epoch wrote an event, as a node knows it that took over before it had read everything."""

from router.journal.redis.layout import EpochIndex


def test_epochs_that_are_read_after_the_own_one_are_in_their_place() -> None:
    epochs = EpochIndex([(3, 1)])
    epochs.add(5, 101)
    epochs.add(4, 51)
    assert epochs.epoch_of(60) == 4
    epochs.add(6, 101)
    assert [epochs.epoch_of(seq) for seq in (50, 51, 100, 101)] == [3, 4, 4, 6]
    assert epochs.entry_id(60) == "4-60"
