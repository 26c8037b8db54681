"""The product families of the sample company: what it sells, at what price, and which families are used together.

Each row is: key, title, price of the smallest size, gross margin, usual quantity, units per carton, sizes, season,
and the families a craftsman needs for the same job. Everything here is invented.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """A range of like products that differ by size and quality."""

    key: str
    category: str
    title: str
    price: float
    margin: float
    usual_quantity: int
    carton: int
    sizes: tuple[str, ...]
    season: str
    goes_with: tuple[str, ...]


Row = tuple[str, str, float, float, int, int, str, str, str]

ROWS: dict[str, tuple[Row, ...]] = {
    "Electrical": (
        ("cable", "Twin and earth cable", 28.95, 0.24, 4, 1,
         "1.0 mm 50 m|1.5 mm 50 m|2.5 mm 50 m|4.0 mm 50 m|6.0 mm 50 m", "", "clip junction"),
        ("clip", "Cable clips box of 100", 2.95, 0.44, 6, 10, "5 mm|7 mm|9 mm|10 mm|12 mm", "", "cable"),
        ("socket", "Switched socket", 3.95, 0.36, 12, 10,
         "1 gang|2 gang|2 gang USB|IP66 1 gang|IP66 2 gang", "", "backbox"),
        ("backbox", "Metal back box", 0.95, 0.42, 20, 20,
         "16 mm|25 mm|35 mm|47 mm|47 mm twin", "", "socket grommet"),
        ("grommet", "Blanking grommets box of 100", 3.95, 0.48, 3, 1, "20 mm|25 mm|32 mm", "", ""),
        ("junction", "Junction box", 2.95, 0.40, 10, 10, "20 A|30 A|IP55 small|IP55 large", "", "connector"),
        ("connector", "Lever connectors box of 50", 12.95, 0.37, 3, 1, "2 way|3 way|5 way", "", ""),
        ("breaker", "Circuit breaker", 4.95, 0.33, 8, 12, "6 A|10 A|16 A|20 A|32 A", "", "consumer"),
        ("consumer", "Consumer unit", 48.95, 0.28, 2, 1, "6 way|10 way|14 way|18 way", "", "breaker gland"),
        ("gland", "Cable gland kit", 1.95, 0.46, 10, 20, "20 mm|25 mm|32 mm|40 mm", "", ""),
        ("trunking", "Mini trunking 3 m", 3.95, 0.38, 10, 12,
         "16 x 16|25 x 16|38 x 16|40 x 25|50 x 50", "", "trunkfit"),
        ("trunkfit", "Trunking corner set", 1.95, 0.50, 10, 10,
         "16 x 16|25 x 16|38 x 16|40 x 25|50 x 50", "", ""),
    ),
    "Lighting": (
        ("lamp", "LED lamp", 2.95, 0.37, 20, 10,
         "5 W warm|7 W warm|9 W cool|12 W cool|15 W cool", "winter", ""),
        ("panel", "LED panel", 24.95, 0.31, 6, 4, "300 x 300|600 x 600|1200 x 300|1200 x 600", "", "driver"),
        ("driver", "LED driver", 11.95, 0.36, 6, 1, "15 W|25 W|40 W|60 W", "", ""),
        ("batten", "LED batten", 16.95, 0.32, 6, 6, "2 ft|4 ft|5 ft|6 ft", "", "sensor"),
        ("sensor", "Presence sensor", 18.95, 0.38, 3, 1, "wall|ceiling|high bay", "", ""),
        ("flood", "LED floodlight", 14.95, 0.33, 3, 1, "10 W|20 W|30 W|50 W|100 W", "winter", "sensor gland"),
        ("emergency", "Emergency bulkhead", 21.95, 0.35, 4, 1,
         "3 h standard|3 h self-test|exit sign", "", "lamp"),
    ),
    "Plumbing": (
        ("coppertube", "Copper tube 3 m", 9.95, 0.20, 10, 10,
         "10 mm|15 mm|22 mm|28 mm|35 mm", "", "copperfit tubeclip"),
        ("copperfit", "Press fitting elbow", 1.95, 0.39, 25, 25, "10 mm|15 mm|22 mm|28 mm|35 mm", "", "flux"),
        ("tubeclip", "Tube clips bag of 50", 4.95, 0.45, 4, 1, "10 mm|15 mm|22 mm|28 mm|35 mm", "", ""),
        ("flux", "Jointing paste", 5.95, 0.42, 3, 12, "100 g|250 g|500 g", "", ""),
        ("pushfit", "Push-fit coupling", 2.95, 0.37, 20, 10, "10 mm|15 mm|22 mm|28 mm", "", "insert"),
        ("insert", "Pipe insert bag of 50", 6.95, 0.47, 3, 1, "10 mm|15 mm|22 mm|28 mm", "", ""),
        ("valve", "Isolating valve", 3.95, 0.38, 12, 10,
         "15 mm|22 mm|28 mm|lever 15 mm|lever 22 mm", "", "ptfe"),
        ("ptfe", "Thread seal tape", 0.95, 0.55, 10, 10, "12 m|25 m|gas 12 m", "", ""),
        ("waste", "Waste trap", 4.95, 0.40, 6, 6,
         "32 mm bottle|40 mm bottle|40 mm P|50 mm P", "", "wastepipe"),
        ("wastepipe", "Waste pipe 3 m", 4.95, 0.34, 6, 10, "32 mm|40 mm|50 mm", "", "silicone"),
        ("tap", "Basin tap", 34.95, 0.34, 2, 1, "pillar|mono mixer|sensor|lever", "", "flexhose"),
        ("flexhose", "Flexible tap connector", 4.95, 0.45, 6, 10, "300 mm|500 mm|700 mm", "", "valve"),
    ),
    "Heating": (
        ("radiator", "Steel radiator", 44.95, 0.24, 3, 1,
         "600 x 600|600 x 800|600 x 1000|600 x 1200|600 x 1600", "winter", "trv radtail"),
        ("trv", "Thermostatic valve", 12.95, 0.36, 6, 10,
         "15 mm angled|15 mm straight|10 mm angled", "winter", "radtail"),
        ("radtail", "Radiator tail extension", 2.95, 0.46, 6, 10, "40 mm|60 mm|80 mm", "winter", ""),
        ("inhibitor", "System inhibitor", 11.95, 0.41, 4, 6, "500 ml|1 l|5 l", "winter", ""),
        ("pump", "Circulation pump", 84.95, 0.26, 1, 1, "15-50|15-60|25-60|25-80", "winter", "inhibitor"),
        ("thermostat", "Room thermostat", 29.95, 0.33, 2, 1, "dial|digital|wireless|app", "winter", ""),
        ("lagging", "Pipe insulation 2 m", 1.95, 0.40, 20, 20,
         "15 x 9|15 x 13|22 x 13|22 x 19|28 x 19", "winter", "lagtape"),
        ("lagtape", "Insulation tape roll", 3.95, 0.49, 5, 10, "33 m|50 m", "winter", ""),
        ("heater", "Portable heater", 39.95, 0.29, 2, 1, "2 kW|3 kW|fan 9 kW|gas 15 kW", "winter", ""),
    ),
    "Tools": (
        ("drill", "Cordless drill kit", 94.95, 0.22, 1, 1,
         "12 V|18 V|18 V hammer|18 V heavy", "", "drillbit battery"),
        ("battery", "Tool battery", 44.95, 0.27, 2, 1, "2 Ah|4 Ah|5 Ah|8 Ah", "", ""),
        ("drillbit", "Drill bit set", 9.95, 0.44, 3, 5, "wood 5|masonry 5|metal 10|SDS 5|SDS 12", "", ""),
        ("grinder", "Angle grinder", 59.95, 0.24, 1, 1, "115 mm|125 mm|230 mm", "", "disc"),
        ("disc", "Cutting disc pack of 10", 8.95, 0.46, 5, 10,
         "115 x 1|115 x 3|125 x 1|230 x 2|230 x 3", "", "goggles"),
        ("sawblade", "Circular saw blade", 14.95, 0.40, 3, 1,
         "165 x 24T|165 x 40T|190 x 24T|250 x 60T", "", ""),
        ("multitool", "Oscillating blade", 6.95, 0.47, 5, 5, "wood 32|metal 32|grout|scraper", "", ""),
        ("level", "Spirit level", 16.95, 0.35, 1, 1, "400 mm|600 mm|1200 mm|1800 mm", "", ""),
        ("knife", "Trade knife", 4.95, 0.42, 5, 12, "fixed|retractable|folding", "", "blades"),
        ("blades", "Knife blades tub of 100", 7.95, 0.50, 3, 10, "standard|hooked|heavy", "", ""),
    ),
    "Fixings": (
        ("woodscrew", "Wood screws box of 200", 4.95, 0.42, 8, 10,
         "4 x 30|4 x 40|5 x 50|5 x 70|6 x 100", "", "plug driverbit"),
        ("plug", "Wall plugs box of 100", 2.95, 0.52, 6, 10, "5 mm|6 mm|7 mm|8 mm|10 mm", "", "woodscrew"),
        ("driverbit", "Driver bits pack of 10", 5.95, 0.49, 3, 10, "PZ2|PZ3|T20|T25|T30", "", ""),
        ("drywall", "Drywall screws box of 1000", 9.95, 0.36, 5, 6,
         "25 mm|32 mm|38 mm|50 mm", "", "driverbit"),
        ("anchor", "Through bolt box of 50", 17.95, 0.38, 3, 4,
         "M8 x 75|M10 x 90|M12 x 100|M16 x 125", "", "resin drillbit"),
        ("resin", "Anchor resin cartridge", 9.95, 0.40, 6, 12, "300 ml|380 ml|400 ml winter", "", ""),
        ("nail", "Collated nails box", 24.95, 0.31, 4, 4, "51 mm|63 mm|75 mm|90 mm", "", "gascell"),
        ("gascell", "Gas cells pack of 2", 11.95, 0.34, 4, 6, "brad|framing", "", ""),
        ("bracket", "Joist bracket", 1.95, 0.39, 20, 50,
         "angle 50|angle 90|hanger 47|hanger 75|strap", "", "nail"),
        ("washer", "Penny washers bag of 100", 3.95, 0.51, 4, 10, "M6|M8|M10|M12", "", ""),
    ),
    "Sealants and paint": (
        ("silicone", "Sanitary silicone", 4.95, 0.41, 12, 12, "clear|white|grey|black", "", "gun"),
        ("gun", "Cartridge gun", 7.95, 0.40, 2, 6, "standard|heavy|sausage", "", ""),
        ("foam", "Expanding foam 750 ml", 6.95, 0.36, 12, 12,
         "hand|gun|fire rated|low expansion", "", "foamclean"),
        ("foamclean", "Foam cleaner 500 ml", 4.95, 0.46, 3, 12, "spray|gun", "", ""),
        ("emulsion", "Trade emulsion", 22.95, 0.30, 4, 1,
         "white 5 l|white 10 l|magnolia 10 l|grey 10 l", "spring", "roller masking"),
        ("gloss", "Wood gloss", 18.95, 0.33, 3, 1,
         "white 1 l|white 2.5 l|black 2.5 l|clear 2.5 l", "spring", "brush"),
        ("roller", "Roller sleeve", 3.95, 0.45, 6, 10, "4 in|9 in medium|9 in long|12 in", "spring", "tray"),
        ("tray", "Paint tray set", 4.95, 0.43, 3, 10, "4 in|9 in|12 in", "spring", ""),
        ("brush", "Synthetic brush", 3.95, 0.47, 6, 12, "1 in|2 in|3 in|set of 5", "spring", ""),
        ("masking", "Masking tape 50 m", 2.95, 0.44, 12, 24, "24 mm|36 mm|48 mm", "", "sheet"),
        ("sheet", "Dust sheet", 3.95, 0.48, 6, 10, "poly 4 x 5|cotton 3 x 4|runner", "", ""),
    ),
    "Safety wear": (
        ("glove", "Work gloves pack of 12", 11.95, 0.43, 6, 10,
         "grip M|grip L|grip XL|cut D L|winter L", "winter", ""),
        ("goggles", "Safety glasses", 2.95, 0.50, 10, 10, "clear|tinted|over-spec|sealed", "", ""),
        ("mask", "Dust masks box of 20", 13.95, 0.42, 4, 10, "FFP2|FFP2 valve|FFP3 valve", "", "goggles"),
        ("helmet", "Safety helmet", 8.95, 0.41, 5, 20, "white|yellow|blue|vented", "", "eardef"),
        ("eardef", "Ear defenders", 9.95, 0.43, 4, 10, "folding|27 dB|33 dB|helmet", "", ""),
        ("hivest", "High-visibility vest", 3.95, 0.46, 12, 25, "M|L|XL|2XL", "", "helmet"),
        ("hijacket", "High-visibility jacket", 34.95, 0.37, 4, 5, "M|L|XL|2XL", "winter", ""),
        ("boot", "Safety boots", 49.95, 0.34, 2, 1, "size 41|size 42|size 43|size 44|size 45", "", "sock"),
        ("sock", "Work socks pack of 5", 9.95, 0.47, 4, 10, "39-42|43-46", "winter", ""),
    ),
    "Cleaning": (
        ("detergent", "All-purpose cleaner", 7.95, 0.41, 8, 4, "5 l|5 l concentrate|10 l", "", "cloth"),
        ("cloth", "Microfibre cloths pack of 10", 6.95, 0.48, 8, 10, "blue|red|green|yellow", "", ""),
        ("papertowel", "Paper towels case", 22.95, 0.30, 6, 1,
         "C-fold|centrefeed 6|Z-fold|jumbo", "", "soap"),
        ("soap", "Hand soap", 8.95, 0.42, 6, 6, "5 l|1 l pouch|foam 1 l", "", "sanitiser"),
        ("sanitiser", "Hand sanitiser", 6.95, 0.39, 6, 6, "500 ml|1 l|5 l", "winter", ""),
        ("binbag", "Refuse sacks box of 200", 14.95, 0.35, 8, 1, "light|medium|heavy|clear", "", ""),
        ("toiletroll", "Toilet rolls case", 19.95, 0.29, 8, 1,
         "2 ply 36|3 ply 40|jumbo 6|mini jumbo 12", "", "soap"),
        ("mop", "Mop system", 17.95, 0.40, 2, 1, "kentucky|flat|bucket set", "", "mophead"),
        ("mophead", "Mop heads pack of 5", 9.95, 0.49, 4, 10, "blue|red|green", "", "detergent"),
        ("urinal", "Washroom freshener box", 12.95, 0.46, 4, 6, "citrus|pine|ocean", "", ""),
    ),
    "Garden and grounds": (
        ("turf", "Lawn feed", 18.95, 0.34, 6, 1, "5 kg|10 kg|20 kg", "summer", "spreader"),
        ("spreader", "Hand spreader", 24.95, 0.37, 1, 1, "3 l|drop 15 l|salt 36 l", "", ""),
        ("strimline", "Trimmer line", 7.95, 0.45, 5, 10,
         "2.0 mm|2.4 mm|2.7 mm|3.0 mm", "summer", "twostroke"),
        ("twostroke", "Two-stroke oil", 8.95, 0.42, 4, 12, "1 l|5 l", "summer", ""),
        ("chainoil", "Chain oil", 12.95, 0.38, 3, 4, "1 l|5 l|20 l", "", "chain"),
        ("chain", "Saw chain", 14.95, 0.41, 3, 1, "14 in|16 in|18 in|20 in", "", ""),
        ("hose", "Garden hose", 19.95, 0.36, 3, 1, "15 m|30 m|50 m", "summer", "hosefit"),
        ("hosefit", "Hose fittings set", 6.95, 0.47, 5, 10, "basic|brass|tap kit", "summer", ""),
        ("mulch", "Weed membrane", 13.95, 0.38, 5, 1, "1 x 15 m|2 x 10 m|2 x 50 m", "spring", "peg"),
        ("peg", "Ground pegs bag of 50", 6.95, 0.50, 5, 10, "150 mm|200 mm", "spring", ""),
        ("salt", "De-icing salt", 7.95, 0.33, 20, 1, "10 kg|25 kg|bulk bag", "frost", "shovel"),
        ("shovel", "Snow shovel", 14.95, 0.41, 4, 6, "plastic|alloy", "frost", ""),
        ("xmaslight", "Festive light string", 24.95, 0.40, 6, 6,
         "10 m|20 m|50 m|icicle 10 m", "festive", "xmasclip"),
        ("xmasclip", "Festive light clips bag", 4.95, 0.52, 4, 10, "gutter|flat", "festive", ""),
    ),
}  # fmt: skip

# Colours and clothing sizes cost the same; everywhere else the larger size costs more.
ONE_PRICE = frozenset(
    "boot hivest hijacket glove sock silicone helmet goggles cloth mophead urinal driverbit blades".split()
)

FAMILIES: tuple[Family, ...] = tuple(
    Family(
        key,
        category,
        title,
        price,
        margin,
        usual,
        carton,
        tuple(sizes.split("|")),
        season,
        tuple(needs.split()),
    )
    for category, rows in ROWS.items()
    for key, title, price, margin, usual, carton, sizes, season, needs in rows
)
