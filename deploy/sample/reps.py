"""The sample company's sales people: a director, and one rep for each region."""

from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from deploy.sample.names import FIRST, invented_name


@dataclass(frozen=True, slots=True)
class Rep:
    """A sales rep. The director manages all others and owns what nobody else does."""

    id: str
    name: str
    time_zone: str
    phone: str
    is_director: bool = False

    @property
    def email(self) -> str:
        """Where alerts for the rep go."""
        return f"{self.name.lower().replace(' ', '.')}@sample.example"


class Region(NamedTuple):
    """A sales region: where its customers sit, what they pay in, and its share of all customers."""

    id: str
    name: str
    country: str
    currency: str
    time_zone: str
    dialling: str
    cities: tuple[str, ...]
    share: float


REGIONS = (
    Region(
        "T01", "Ireland East", "IE", "EUR", "Europe/Dublin", "+353 1 555", ("Dublin", "Dundalk", "Naas"), 0.18
    ),
    Region(
        "T02",
        "Ireland West",
        "IE",
        "EUR",
        "Europe/Dublin",
        "+353 91 55",
        ("Galway", "Cork", "Limerick"),
        0.13,
    ),
    Region(
        "T03", "England North", "GB", "GBP", "Europe/London", "+44 113 496", ("Leeds", "York", "Hull"), 0.09
    ),
    Region(
        "T04",
        "England South",
        "GB",
        "GBP",
        "Europe/London",
        "+44 117 496",
        ("Bristol", "Exeter", "Bath"),
        0.09,
    ),
    Region(
        "T05",
        "Netherlands",
        "NL",
        "EUR",
        "Europe/Amsterdam",
        "+31 20 555",
        ("Utrecht", "Breda", "Zwolle"),
        0.13,
    ),
    Region("T06", "Belgium", "BE", "EUR", "Europe/Brussels", "+32 2 555", ("Ghent", "Leuven", "Namur"), 0.09),
    Region(
        "T07",
        "Germany North",
        "DE",
        "EUR",
        "Europe/Berlin",
        "+49 40 555",
        ("Hamburg", "Bremen", "Kiel"),
        0.10,
    ),
    Region(
        "T08", "Germany West", "DE", "EUR", "Europe/Berlin", "+49 221 55", ("Cologne", "Essen", "Bonn"), 0.09
    ),
    Region(
        "T09", "Finland", "FI", "EUR", "Europe/Helsinki", "+358 9 555", ("Espoo", "Turku", "Tampere"), 0.05
    ),
    Region(
        "T10", "Portugal", "PT", "EUR", "Europe/Lisbon", "+351 21 55", ("Lisbon", "Setubal", "Evora"), 0.05
    ),
)


DIRECTOR = Rep("R00", "Maeve Costigan-Lund", "Europe/Dublin", "+353 1 555 0100", is_director=True)


def build_reps(seed: int) -> tuple[Rep, ...]:
    """The director, then one rep for each region."""
    rng = Random(f"{seed}:reps")
    first = rng.sample(FIRST, len(REGIONS))
    return (
        DIRECTOR,
        *(
            Rep(
                f"R{number:02d}",
                f"{name} {invented_name(rng)}",
                region.time_zone,
                f"{region.dialling} 01{number:02d}",
            )
            for number, (name, region) in enumerate(zip(first, REGIONS, strict=True), start=1)
        ),
    )
