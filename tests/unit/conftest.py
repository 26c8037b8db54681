"""Keep unit tests pure: a test here that opens a socket fails. Write the sample company once for all of them."""

import fcntl
import os
import pickle

import pytest

from deploy.sample import SampleFiles, generate
from tests.sample_books import TODAY, Books


@pytest.fixture(autouse=True)
def _no_sockets(socket_disabled: None) -> None:
    """Block every socket."""


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleFiles:
    """The files of the company of seed 7, to be read only: the first parallel worker that needs them writes them."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    written = folder / "sample.pickle"
    with (folder / "sample.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not written.exists():
            written.write_bytes(pickle.dumps(generate(folder / "sample", TODAY, 7)))
    files: SampleFiles = pickle.loads(written.read_bytes())
    return files


@pytest.fixture(scope="session")
def books(sample: SampleFiles) -> Books:
    """What the files tell, read once in each process."""
    return Books(sample)
