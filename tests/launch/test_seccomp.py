"""The filter, run by a small interpreter of the BPF instructions that it may use."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.launch.seccomp import (
    ALLOW,
    FORBIDDEN,
    KILL_PROCESS,
    MACHINES,
    UNKNOWN_CALL,
    UNSUPPORTED_FAMILY,
    X32_CALLS,
    program,
)

X86, ARM = MACHINES["x86_64"], MACHINES["aarch64"]
I386, ARM32 = 0x40000003, 0x40000028
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
AF_PACKET, AF_ALG, AF_VSOCK = 17, 38, 40
BOTH = pytest.mark.parametrize("name", ["x86_64", "aarch64"])


def run(instructions: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What the kernel would do with this call."""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    call = struct.pack("=iIQ6Q", number - (1 << 32 if number >= 1 << 31 else 0), architecture, 0, *padded)
    place = accumulator = 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("=HBBI", instructions, place * 8)
        place += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", call, value)
        elif code == 0x15:
            place += if_true if accumulator == value else if_false
        elif code == 0x35:
            place += if_true if accumulator >= value else if_false
        else:
            assert code == 0x06, "an instruction that the filter should not need"
            assert isinstance(value, int)
            return value


@BOTH
@pytest.mark.parametrize("family", [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK])
def test_families_that_a_namespace_confines_are_allowed(name: str, family: int) -> None:
    machine = MACHINES[name]
    for call in (machine.socket, machine.socketpair):
        assert run(program(name), machine.architecture, call, family) == ALLOW


@BOTH
@pytest.mark.parametrize("family", [0, 3, AF_PACKET, AF_ALG, AF_VSOCK, 44, 45, 0xFFFFFFFF])
def test_other_families_are_unsupported(name: str, family: int) -> None:
    machine = MACHINES[name]
    for call in (machine.socket, machine.socketpair):
        assert run(program(name), machine.architecture, call, family) == UNSUPPORTED_FAMILY


@BOTH
def test_family_is_the_32_bits_that_the_kernel_reads(name: str) -> None:
    machine = MACHINES[name]
    hidden = 1 << 32 | AF_VSOCK
    assert run(program(name), machine.architecture, machine.socket, hidden) == UNSUPPORTED_FAMILY


@BOTH
@pytest.mark.parametrize("call", [425, 426, 427])
def test_io_uring_does_not_exist(name: str, call: int) -> None:
    assert run(program(name), MACHINES[name].architecture, call) == UNKNOWN_CALL


@pytest.mark.parametrize(
    ("name", "foreign"), [("x86_64", I386), ("x86_64", ARM.architecture), ("aarch64", ARM32)]
)
def test_calls_of_another_abi_kill(name: str, foreign: int) -> None:
    for number in (0, 102, 359):  # i386: restart, socketcall, socket
        assert run(program(name), foreign, number, AF_VSOCK) == KILL_PROCESS


@pytest.mark.parametrize("number", [X32_CALLS + 41, X32_CALLS, X32_CALLS + 512, 0xFFFFFFFF])
def test_x32_calls_do_not_exist(number: int) -> None:
    assert run(program("x86_64"), X86.architecture, number, AF_INET) == UNKNOWN_CALL


@BOTH
@pytest.mark.parametrize(
    ("request_code", "action"), [(0x5412, FORBIDDEN), (0x541C, FORBIDDEN), (0x5413, ALLOW)]
)
def test_typing_into_the_terminal_is_forbidden(name: str, request_code: int, action: int) -> None:
    machine = MACHINES[name]
    assert run(program(name), machine.architecture, machine.ioctl, 0, request_code) == action
    assert run(program(name), machine.architecture, machine.ioctl, 0, 1 << 32 | request_code) == action


@given(number=st.integers(0, X32_CALLS - 1), arguments=st.tuples(*[st.integers(0, 2**64 - 1)] * 3))
def test_every_other_call_is_allowed(number: int, arguments: tuple[int, ...]) -> None:
    for name, machine in MACHINES.items():
        special = {machine.socket, machine.socketpair, machine.ioctl, 425, 426, 427}
        if number not in special:
            assert run(program(name), machine.architecture, number, *arguments) == ALLOW


def test_unknown_machine_is_refused() -> None:
    with pytest.raises(ValueError, match="no system call filter for riscv64"):
        program("riscv64")
