"""Money: how an amount is rounded, how large it may be, and which currencies there are."""

from decimal import ROUND_HALF_EVEN, Decimal

AMOUNT_UNIT = Decimal("0.0001")
"""Four decimals, as the columns have them: distributors price screws by the hundred."""

LARGEST_AMOUNT = Decimal(10) ** 12
"""The columns hold a hundred times as much: room for what is derived from an amount."""

CURRENCIES = frozenset(
    # ISO 4217, active
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF"
    " CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL"
    " HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL"
    " MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON"
    " RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH"
    " UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG"
    # withdrawn since 1990: history may be in them
    " ADP AFA AOK AON AOR ARA ATS AZM BEF BGL BYB BYR CSD CSK CUC CYP DDM DEM ECS EEK ESP FIM FRF GHC GRD GWP HRD HRK"
    " IEP ITL LTL LUF LVL MGF MRO MTL MXP MZM NLG PEI PLZ PTE ROL RUR SDD SIT SKK SLL SRG STD TJR TMM TPE TRL UAK UYP"
    " VEB VEF XEU YDD YUM YUN ZAL ZMK ZRN ZWD ZWL ZWR".split()
)


def rounded(amount: Decimal) -> Decimal:
    """Return the amount as it is stored: four decimals, halves to the even digit."""
    return amount.quantize(AMOUNT_UNIT, ROUND_HALF_EVEN)


def in_base(amount: Decimal, rate: Decimal | None) -> Decimal | None:
    """Return an amount in base currency as it is stored; None where no rate is known.

    A rate that makes it larger than any amount may be is none: better not to know than to fail at every try.
    """
    if rate is None or abs(made := amount * rate) >= LARGEST_AMOUNT:
        return None
    return rounded(made)
