"""The members in memory fulfil the contract of the directory."""

import pytest

from router.cluster.membership import MemberDirectory, MemoryMemberDirectory
from tests.contracts.membership_contract import BOUND_S, MembershipContract


class TestMemoryMembership(MembershipContract):
    @pytest.fixture
    def directories(self) -> list[MemberDirectory]:
        directory = MemoryMemberDirectory(bound_s=BOUND_S)
        return [directory, directory]
