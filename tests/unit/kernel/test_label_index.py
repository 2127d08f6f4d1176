"""The label indexes against a plain look at everything."""

from hypothesis import given
from hypothesis import strategies as st

from beamhall.kernel.label_index import Carriers, Choosers

labels = st.dictionaries(st.sampled_from("kl"), st.sampled_from("12"), max_size=2)
steps = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.none() | labels), max_size=30)


@given(steps, labels)
def test_they_agree_with_a_look_at_everything(changes, asked):
    carriers, choosers = Carriers(), Choosers()
    model: dict[tuple[str, str], dict[str, str]] = {}
    for namespace, name, new in changes:
        place = (namespace, name)
        if new is None:
            carriers.drop(place)
            choosers.drop(place)
            model.pop(place, None)
        else:
            carriers.put(place, new)
            choosers.put(place, new)
            model[place] = new
    own = {place: has for place, has in model.items() if place[0] == "a"}
    if asked:
        assert sorted(carriers.of("a", asked)) == sorted(p for p, has in own.items() if asked.items() <= has.items())
    meant = sorted(p for p, wants in own.items() if wants and wants.items() <= asked.items())
    assert sorted(choosers.of("a", asked)) == meant
    if not model:
        assert not carriers._by_pair
        assert not choosers._by_pair
