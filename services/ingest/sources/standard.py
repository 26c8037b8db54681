"""Standard: any sender that signs as Standard Webhooks asks and sends our own order as the envelope's data."""

from services.ingest.reading import read_envelope
from services.ingest.source import Source
from shared.signing import verify

SOURCE = Source("standard", verify=verify, read=read_envelope)
