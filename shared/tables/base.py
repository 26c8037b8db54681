"""The one metadata, with names for every constraint, and the column types that recur."""

from sqlalchemy import BigInteger, DateTime, MetaData, Numeric
from sqlalchemy.dialects.postgresql import JSONB, UUID

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = BigInteger
PublicId = UUID(as_uuid=True)
Moment = DateTime(timezone=True)
Amount = Numeric(18, 4)
"""Money, four decimals: distributors price screws by the hundred."""
Quantity = Numeric(18, 4)
Json = JSONB
