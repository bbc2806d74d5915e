# SPDX-License-Identifier: Apache-2.0
"""Somebody sets the machine's clock: copies of zones neither age by it nor stop being refreshed."""
import mmap
import shutil
import struct
import subprocess

import pytest

from harness import address, wait_for
from test_secondary import Liar, intent, secondary, serial

YEAR_S = 365 * 86400

# Wall time is moved by as many seconds as a file says.
SHIM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *step;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CLOCK_STEP_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd >= 0 ? mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (at != MAP_FAILED)
        step = at;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    int rc = (int)syscall(SYS_clock_gettime, id, ts);
    if (rc == 0 && id == CLOCK_REALTIME && step)
        ts->tv_sec += *step;
    return rc;
}
"""


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_the_clock_is_set(tmp_path, monkeypatch):
    (tmp_path / "shim.c").write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "shim.so", tmp_path / "shim.c"], check=True)
    with open(tmp_path / "step", "w+b") as file:
        file.write(bytes(8))
        file.flush()
        step = mmap.mmap(file.fileno(), 8)
        monkeypatch.setenv("LD_PRELOAD", str(tmp_path / "shim.so"))
        monkeypatch.setenv("CLOCK_STEP_FILE", str(tmp_path / "step"))
        monkeypatch.setenv("ASAN_OPTIONS", "verify_asan_link_order=0")
        liar = Liar("honest")
        liar.start()
        try:
            with secondary(intent(["a.test."], [address(2)], key="")) as node:
                wait_for(lambda: serial(node, "a.test") == 5, "it has come")
                refreshed = node.get("/zones/a.test").item["refreshed"]
                for number, years in ((6, -1), (7, 1), (8, 0)):
                    step[:] = struct.pack("=q", years * YEAR_S)
                    liar.number = number
                    wait_for(lambda n=number: serial(node, "a.test") == n, f"refreshed when it is {years} years later")
                    if years:
                        assert node.get("/zones/a.test").item["refreshed"][:4] != refreshed[:4], "the clock was not set"
                    assert "SERVFAIL" not in node.log_text(), "it expired"
        finally:
            liar.close()
            step.close()
