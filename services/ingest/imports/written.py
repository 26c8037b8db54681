"""Numbers and times as people and spreadsheets write them: SQL macros for column maps."""

from services.ingest.imports.table import quoted

_CLOCKS = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p")


def _formats(*days: str) -> str:
    """Return the SQL list of these days with every clock; two digits of a year come first, or four would fit both."""
    return f"[{', '.join(quoted(day + clock) for day in days for clock in _CLOCKS)}]"


_SLASHED = r"regexp_replace(trim(text), '^([0-9]{1,2})[./-]([0-9]{1,2})[./-]', '\1/\2/')"

NUMBER = """
written_number(text, decimal_comma) AS coalesce(
    CASE WHEN NOT decimal_comma THEN TRY_CAST(text AS DECIMAL(24, 6)) END,
    CASE WHEN regexp_matches(text, '^[ (]*-|^ *[(]|- *$') THEN -1 ELSE 1 END * TRY_CAST(
        CASE WHEN decimal_comma AND (text LIKE '%,%' OR regexp_matches(text, '^[^0-9]*[0-9]{1,3}([.][0-9]{3})+[^0-9]*$'))
             THEN replace(regexp_replace(text, '[^0-9,]', '', 'g'), ',', '.')
             ELSE regexp_replace(text, '[^0-9.]', '', 'g') END
        AS DECIMAL(24, 6)))
"""
"""1234.5 of "1.234,50 €", "1,234.50" or 1234.5; -12 of "(12.00)" and "12,00-"; NULL of what is no number."""

TIME = f"""
written_time(text, month_first) AS CASE
    WHEN regexp_matches(text, '^ *[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') THEN trim(text)
    ELSE strftime(coalesce(
        CASE WHEN month_first THEN try_strptime({_SLASHED}, {_formats("%m/%d/%y", "%m/%d/%Y")})
             ELSE try_strptime({_SLASHED}, {_formats("%d/%m/%y", "%d/%m/%Y")}) END,
        try_strptime(trim(text), {
    _formats("%Y/%m/%d", "%Y%m%d", "%d-%b-%y", "%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y")
})
    ), '%Y-%m-%dT%H:%M:%S') END
"""
"""An ISO time as it stands, any other as one; days or months come first, with dots, dashes or slashes between."""

MACROS = (NUMBER, TIME)
