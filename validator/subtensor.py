"""The validator's side of Bittensor: the only module of this package that imports the SDK.

One client, opened once; every call has a deadline; whatever goes wrong becomes one of Tideline's own errors.
Which network it talks to is an argument, and nothing else depends on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import bittensor as bt
from bittensor.error_map import ErrorCode
from bittensor.intents.weights import SetWeights, clip_to_max_weight, normalize

from protocol.errors import ChainError, ConfigError
from protocol.signing import Signer
from protocol.subtensor import ChainEndpoint
from protocol.units import BlockNumber, Hotkey, Uid
from validator.metagraph import Endpoint, Metagraph, Neuron
from validator.weight_setter import Epoch, WeightsOutcome, WeightsResult
from validator.weight_vector import U16_MAX, WeightLimits, fit_to_limits

Row = tuple[tuple[Uid, int], ...]
storage = bt.storage.SubtensorModule


class ValidatorChain:
    """One validator on one subnet. Made by `connect`."""

    def __init__(self, endpoint: ChainEndpoint, signer: Signer, *, version_key: int) -> None:
        self._endpoint = endpoint
        self._signer = signer
        self._version_key = version_key
        self._line = endpoint.connection()

    @classmethod
    async def connect(cls, endpoint: ChainEndpoint, signer: Signer, *, version_key: int = 0) -> ValidatorChain:
        """Open the connection; raises ConfigError for an unknown network, ChainError where nobody answers."""
        chain = cls(endpoint, signer, version_key=version_key)
        await chain._line.open()
        return chain

    async def close(self) -> None:
        """Close the connection. Idempotent; a later call opens it again."""
        await self._line.close()

    @property
    def hotkey(self) -> Hotkey:
        return Hotkey(self._signer.ss58_address)

    @property
    def netuid(self) -> int:
        return self._endpoint.netuid

    async def block(self) -> BlockNumber:
        """The head."""
        return BlockNumber(await self._line.call("the head block", lambda client: client.block()))

    async def uid(self) -> Uid:
        """Our seat; ConfigError when the chain confirms that there is none, ChainError when it cannot be asked."""
        found = await self._line.call(
            "our uid", lambda client: client.read("uid", hotkey_ss58=self.hotkey, netuid=self.netuid)
        )
        if found is None:
            raise ConfigError(
                f"hotkey {self.hotkey} is not registered on subnet {self.netuid} of {self._endpoint.network}: register "
                f"it with `btcli subnets register --netuid {self.netuid}`, or set wallet.name and wallet.hotkey to one "
                "that is"
            )
        return Uid(found)

    async def metagraph(self) -> Metagraph:
        """Every neuron, at one block."""
        return await self._line.call("the metagraph", self._metagraph)

    async def epoch(self) -> Epoch:
        """Where the subnet stands in its cycle; ConfigError for a subnet that never runs epochs."""
        status = await self._line.call("the epoch", lambda client: client.read("epoch_status", netuid=self.netuid))
        if not status["tempo"] or status["next_epoch_start_block"] is None:
            raise ConfigError(f"subnet {self.netuid} of {self._endpoint.network} runs no epochs: check netuid")
        return Epoch(
            block=BlockNumber(status["block"]),
            index=status["epoch_index"],
            tempo=status["tempo"],
            last_epoch_block=BlockNumber(status["last_epoch_block"]),
            next_epoch_start_block=BlockNumber(status["next_epoch_start_block"]),
            blocks_remaining=status["blocks_remaining"],
        )

    async def limits(self) -> WeightLimits:
        """The subnet's rules for weights, at one block."""
        return await self._line.call("the weight limits", self._limits)

    async def blocks_since_last_update(self) -> int | None:
        """Blocks since our weights, our commit or our registration; None where the chain has no entry."""
        uid = await self.uid()
        read = await self._line.call(
            "our last update",
            lambda client: client.read("blocks_since_last_update", netuid=self.netuid, uid=uid),
        )
        return None if read is None else int(read)

    async def set_weights(self, weights: Mapping[Uid, int]) -> WeightsResult:
        """Submit, wait for inclusion, and read back what the chain now holds.

        A refusal, by the SDK before signing or by the chain after it, is a result; ChainError means that the limits
        could not even be read. A submission that was interrupted is looked up on chain before it is called unknown.
        """
        before, limits, uid = await self.block(), await self.limits(), await self.uid()
        positive = {to: weight for to, weight in weights.items() if weight}
        if not positive:
            return _not_sent(before, WeightsOutcome.NOTHING_TO_SET, "every weight is zero; nothing was sent")
        fitting = fit_to_limits(positive, own_uid=uid, limits=limits, netuid=self.netuid)
        if isinstance(fitting, str):
            return _not_sent(before, WeightsOutcome.REFUSED, fitting, code=ErrorCode.INVALID_ARGUMENT.value)
        intent = SetWeights(
            netuid=self.netuid,
            uids=[int(to) for to in fitting],
            weights=[float(weight) for weight in fitting.values()],
            version_key=self._version_key,
        )
        sent = _row_to_expect(fitting, own_uid=uid, limits=limits)
        try:
            receipt = await self._line.call(
                "setting weights",
                lambda client: client.execute(
                    intent, self._signer, wait_for_inclusion=True, wait_for_finalization=False, retries=2
                ),
                deadline_s=self._endpoint.submit_deadline_s,
                refusals=(bt.ChainError, bt.PolicyError),
            )
        except (bt.ChainError, bt.PolicyError) as error:
            if error.code is not ErrorCode.UNKNOWN:
                return _not_sent(before, _refusal(error.code), str(error), code=error.code.value)
            return await self._looked_up(sent, uid, limits, before, str(error))
        except ChainError as error:
            return await self._looked_up(sent, uid, limits, before, str(error))
        if not receipt.success:
            code = ErrorCode.UNKNOWN if receipt.error is None else receipt.error.code
            return _not_sent(before, _refusal(code), receipt.message, code=code.value)
        return await self._confirmed(sent, uid, limits, before, receipt)

    # Confirmation -------------------------------------------------------------

    async def _confirmed(
        self, sent: Row, uid: Uid, limits: WeightLimits, before: BlockNumber, receipt: bt.ExtrinsicResult
    ) -> WeightsResult:
        block = _block_of(receipt.extrinsic_id, default=before)
        outcome = WeightsOutcome.COMMITTED if limits.commit_reveal else WeightsOutcome.INCLUDED
        try:
            held = await self._holds(sent, uid, limits, since=before, at=block)
            message = "" if held else "the chain does not hold what was sent"
        except ChainError as error:
            held, message = False, f"included, but not read back: {error}"
        return WeightsResult(outcome, block, sent, held, "", message, receipt.data.get("reveal_round"))

    async def _looked_up(
        self, sent: Row, uid: Uid, limits: WeightLimits, before: BlockNumber, message: str
    ) -> WeightsResult:
        """An interrupted submission may have arrived: the chain knows."""
        try:
            head = await self.block()
            held = await self._holds(sent, uid, limits, since=before, at=head)
        except ChainError:
            head, held = before, False
        if not held:
            return _unconfirmed(before, sent, message)
        outcome = WeightsOutcome.COMMITTED if limits.commit_reveal else WeightsOutcome.INCLUDED
        return WeightsResult(
            outcome, head, sent, read_back_ok=True, code="", message=f"found on chain after: {message}"
        )

    async def _holds(self, sent: Row, uid: Uid, limits: WeightLimits, *, since: BlockNumber, at: BlockNumber) -> bool:
        async def read(client: bt.Client) -> bool:
            view = await client.at(at)
            updated = await view.query(storage.LastUpdate, [self.netuid])
            if uid >= len(updated) or int(updated[uid]) < since:
                return False
            if not limits.commit_reveal:
                row = await view.query(storage.Weights, [self.netuid, uid])
                return tuple(sorted((int(to), int(value)) for to, value in row)) == sent
            queues = await view.read("timelocked_weight_commits", netuid=self.netuid)
            return any(
                commit["hotkey"] == self.hotkey and commit["commit_block"] >= since
                for queue in queues.values()
                for commit in queue
            )

        return await self._line.call("the weights on chain", read)

    # Reads that need several answers of one block ------------------------------

    async def _metagraph(self, client: bt.Client) -> Metagraph:
        graph = await client.subnets.metagraph(self.netuid, commitments=False)
        if graph is None:
            raise ConfigError(f"subnet {self.netuid} does not exist on {self._endpoint.network}: check netuid")
        return Metagraph(
            netuid=self.netuid,
            block=BlockNumber(graph.block),
            neurons=tuple(_neuron(neuron) for neuron in graph.neurons),
            owner_hotkey=Hotkey(graph.owner_hotkey),
        )

    async def _limits(self, client: bt.Client) -> WeightLimits:
        view = await client.at()
        minimum, maximum, rate, version, commit_reveal = await asyncio.gather(
            view.query(storage.MinAllowedWeights, [self.netuid]),
            view.query(storage.MaxWeightsLimit, [self.netuid]),
            view.query(storage.WeightsSetRateLimit, [self.netuid]),
            view.query(storage.WeightsVersionKey, [self.netuid]),
            view.query(storage.CommitRevealWeightsEnabled, [self.netuid]),
        )
        return WeightLimits(
            min_allowed=int(minimum or 0),
            max_weight_limit=U16_MAX if maximum is None else int(maximum),
            rate_limit=int(rate or 0),
            version_key=int(version or 0),
            commit_reveal=bool(commit_reveal),
        )


def _neuron(neuron: bt.MetagraphNeuron) -> Neuron:
    return Neuron(
        uid=Uid(neuron.uid),
        hotkey=Hotkey(neuron.hotkey),
        coldkey=neuron.coldkey,
        stake=int(neuron.total_stake.rao),
        validator_permit=neuron.validator_permit,
        registered_at_block=BlockNumber(neuron.block_at_registration),
        axon=_endpoint(neuron.axon),
        last_update=BlockNumber(neuron.last_update),
    )


def _endpoint(axon: str | None) -> Endpoint | None:
    if axon is None:
        return None
    ip, _, port = axon.rpartition(":")
    # ResetAxon leaves port 1 behind with no address; port 0 nobody can listen on.
    return Endpoint(ip.strip("[]"), int(port)) if int(port) else None


def _row_to_expect(weights: Mapping[Uid, int], *, own_uid: Uid, limits: WeightLimits) -> Row:
    """What the SDK makes of the vector, by the SDK's own arithmetic, so that the read-back can be exact."""
    uids = sorted(weights)
    values = [float(weights[uid]) for uid in uids]
    if limits.max_weight_limit < U16_MAX and uids != [own_uid]:
        values = clip_to_max_weight(values, limits.max_weight_limit / U16_MAX)
    return tuple((Uid(uid), value) for uid, value in zip(*normalize(uids, values), strict=True))


def _not_sent(block: BlockNumber, outcome: WeightsOutcome, message: str, *, code: str = "") -> WeightsResult:
    return WeightsResult(outcome, block, (), read_back_ok=False, code=code, message=message)


def _unconfirmed(block: BlockNumber, sent: Row, message: str) -> WeightsResult:
    code = ErrorCode.UNKNOWN.value
    return WeightsResult(WeightsOutcome.UNKNOWN, block, sent, read_back_ok=False, code=code, message=message)


def _refusal(code: Any) -> WeightsOutcome:
    return WeightsOutcome.RATE_LIMITED if code is ErrorCode.RATE_LIMITED else WeightsOutcome.REFUSED


def _block_of(extrinsic_id: str | None, *, default: BlockNumber) -> BlockNumber:
    return BlockNumber(int(extrinsic_id.partition("-")[0])) if extrinsic_id else default
