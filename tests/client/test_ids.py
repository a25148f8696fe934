"""Message ids."""

import os
import subprocess
import sys
import time
from pathlib import Path

import voxcube
from voxcube.client import ids
from voxcube.client.ids import is_message_id, new_message_id


def test_ids_are_unique_ordered_and_dated() -> None:
    before = int(time.time())
    made = [new_message_id() for _ in range(10_000)]
    assert len(set(made)) == len(made)
    assert sorted(made) == made
    assert all(is_message_id(id_) for id_ in made)
    assert before <= int(made[0][:8], 16) <= time.time()


def test_what_is_no_id() -> None:
    assert not is_message_id("QWERTYUIO")
    assert not is_message_id("65A1b2c3d4e5f60718293a4b")
    assert not is_message_id("65a1b2c3d4e5f60718293a4b\n")


def test_a_forked_process_makes_other_ids() -> None:
    before = ids._process
    ids._after_fork()
    assert ids._process != before


def test_the_client_is_found_at_the_top_without_importing_it_early() -> None:
    code = (
        "import sys, voxcube; assert 'httpx' not in sys.modules; "
        "from voxcube import Client; from voxcube.client import Client as C; assert Client is C"
    )
    source = Path(voxcube.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": str(source)})
