"""Invented names: people, firms and legal forms that belong to nobody."""

from random import Random

FIRST = (
    "Aoife", "Declan", "Harriet", "Owen", "Femke", "Joost", "Katrien", "Lukas", "Annika", "Matthias",
    "Siiri", "Eino", "Beatriz", "Tomas", "Niamh", "Rowan",
)  # fmt: skip
STARTS = (
    "Brask", "Tarv", "Vesk", "Oskel", "Dunvel", "Halver", "Kestrin", "Morv", "Wexel", "Askel", "Fenvor", "Gorv",
    "Lindar", "Querin", "Ruvel", "Stavel", "Thorvel", "Ulmer", "Yarv", "Zeld", "Cavel", "Birkel", "Elmor",
    "Norvel", "Pellor", "Skarv", "Trevin", "Wyndel",
)  # fmt: skip
ENDS = (
    "well", "holt", "moor", "by", "mere", "dale", "combe", "wick", "stad", "gaard", "brook",
    "lund", "stone", "ford", "hurst", "ness", "feld",
)  # fmt: skip
TRADE_WORDS = {
    "Electrician": ("Electrical", "Electric", "Power and Light", "Installations", "Wiring"),
    "Plumber": ("Plumbing", "Heating", "Pipework", "Bathrooms", "Plumbing and Heating"),
    "Builder": ("Builders", "Construction", "Carpentry", "Roofing", "Building Services"),
    "Decorator": ("Decorators", "Interiors", "Painting", "Finishing"),
    "Facility manager": ("Facilities", "Property Care", "Building Care", "Hotels", "Schools Trust"),
    "Landscaper": ("Landscapes", "Grounds", "Tree Care", "Gardens"),
    "Workshop": ("Engineering", "Fabrication", "Motor Works", "Joinery", "Machining"),
}
LEGAL_FORMS = {
    "IE": ("Ltd", "Teo", "DAC"),
    "GB": ("Ltd", "LLP", "and Sons"),
    "NL": ("BV", "VOF"),
    "BE": ("BV", "NV"),
    "DE": ("GmbH", "KG"),
    "FI": ("Oy",),
    "PT": ("Lda",),
}


def invented_name(rng: Random) -> str:
    """A surname or place that sounds real and is not."""
    return rng.choice(STARTS) + rng.choice(ENDS)


def legal_form(country: str) -> tuple[str, ...]:
    """What a firm's name ends with in this country."""
    return LEGAL_FORMS[country]
