"""Finding by labels without looking at everything: who carries these labels, and whose selector means them.

With hundreds of Services and Pods in a namespace, a change of one Pod must not cost a look at them all. Plain values;
``runtime.views`` and the agent's names keep such indexes of what they hold.
"""

from collections.abc import Iterator, Mapping

Place = tuple[str, str]
"""Namespace and name: names an object of a kind."""

Labels = Mapping[str, str]
_Pair = tuple[str, str]


class Carriers:
    """Finds those that carry all of some labels."""

    def __init__(self) -> None:
        self._labels: dict[Place, Labels] = {}
        self._by_pair: dict[_Pair, set[Place]] = {}

    def put(self, place: Place, labels: Labels) -> None:
        """Take in which labels an object has now."""
        if self._labels.get(place) != labels:
            self.drop(place)
            self._labels[place] = dict(labels)
            for pair in labels.items():
                self._by_pair.setdefault(pair, set()).add(place)

    def drop(self, place: Place) -> None:
        """Forget an object."""
        for pair in self._labels.pop(place, {}).items():
            _discard(self._by_pair, pair, place)

    def of(self, namespace: str, wanted: Labels) -> Iterator[Place]:
        """Give the objects of a namespace that have all of these labels, of which there is one at least."""
        rarest = min((self._by_pair.get(pair, set()) for pair in wanted.items()), key=len)
        pairs = wanted.items()
        return (place for place in rarest if place[0] == namespace and pairs <= self._labels[place].items())


class Choosers:
    """Finds those whose selector, plain labels as Services have them, means an object. An empty one means none."""

    def __init__(self) -> None:
        self._selectors: dict[Place, tuple[Labels, _Pair]] = {}
        self._by_pair: dict[_Pair, set[Place]] = {}

    def put(self, place: Place, selector: Labels) -> None:
        """Take in what an object selects now. It is kept under the label by which the fewest others are."""
        known = self._selectors.get(place)
        if known is not None and known[0] == selector:
            return
        self.drop(place)
        if selector:
            pair = min(selector.items(), key=lambda one: len(self._by_pair.get(one, ())))
            self._selectors[place] = (dict(selector), pair)
            self._by_pair.setdefault(pair, set()).add(place)

    def drop(self, place: Place) -> None:
        """Forget an object."""
        if known := self._selectors.pop(place, None):
            _discard(self._by_pair, known[1], place)

    def of(self, namespace: str, labels: Labels) -> Iterator[Place]:
        """Give the objects of a namespace whose selector asks for nothing but what is among these labels."""
        pairs = labels.items()
        for pair in pairs:
            for place in self._by_pair.get(pair, ()):
                if place[0] == namespace and self._selectors[place][0].items() <= pairs:
                    yield place


def _discard(sets: dict[_Pair, set[Place]], pair: _Pair, place: Place) -> None:
    sets[pair].discard(place)
    if not sets[pair]:
        del sets[pair]
