"""A real RabbitMQ out of Debian's packages: private, on loopback alone, and itself again after a crash."""

import stat
from pathlib import Path

import aio_pika
import psutil
import pytest

from moneypath.stack import rabbitmq
from moneypath.stack.errors import FolderUnwritable, PackageUnavailable
from moneypath.stack.ports import PortPool
from moneypath.stack.rabbitmq import RabbitMQ
from moneypath.stack.supervisor import Supervisor

PASSWORD = "1e5-password-of-rabbitmq"


async def _prepared(folder: Path, port_pool: PortPool, home: Path | None = None) -> RabbitMQ:
    return await rabbitmq.prepare(
        folder / "node",
        port=port_pool.reserve("rabbitmq"),
        names_port=port_pool.reserve("rabbitmq-names"),
        distribution_port=port_pool.reserve("rabbitmq-distribution"),
        user="team",
        password=PASSWORD,
        home=home,
    )


@pytest.fixture(scope="module")
def home() -> Path:
    """Fetch it, unless this machine cannot."""
    try:
        return rabbitmq.find_home()
    except PackageUnavailable as problem:
        pytest.skip(f"no RabbitMQ: {problem.what}")


@pytest.mark.live
async def test_the_broker_is_itself_again_after_a_crash_and_nobody_else_may_look(
    tmp_path: Path, port_pool: PortPool, home: Path
) -> None:
    """It knows its queue. One private file holds the password, no log and no command; all is loopback."""
    async with Supervisor(tmp_path) as supervisor:
        broker = await _prepared(tmp_path, port_pool, home)
        await supervisor.start(broker.names)
        await supervisor.start(broker.spec)
        async with await aio_pika.connect(broker.url) as connection:
            await (await connection.channel()).declare_queue("kept", durable=True)
        # What RabbitMQ knows of its queues may not be on disk yet when it answers: a kill a few milliseconds
        # after a first start lost the queue in one of four runs. A restart in order writes it.
        await supervisor.restart("rabbitmq")
        async with await aio_pika.connect(broker.url) as connection:
            channel = await connection.channel()
            message = aio_pika.Message(b"41", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(message, routing_key="kept")
            await supervisor.kill("rabbitmq")
        await supervisor.restart("rabbitmq")
        async with await aio_pika.connect(broker.url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue("kept", passive=True)
            await channel.default_exchange.publish(aio_pika.Message(b"42"), routing_key=queue.name)
            for body in (b"41", b"42"):
                found = await queue.get()
                assert found.body == body
                await found.ack()
        with pytest.raises(Exception, match="ACCESS_REFUSED"):
            await aio_pika.connect(broker.url.replace(PASSWORD, "password-of-nobody"))
        children = psutil.Process().children(recursive=True)
        sockets = [socket for child in children for socket in child.net_connections("inet")]
        listening = {socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN}
        assert listening
        assert listening <= {"127.0.0.1", "::1"}
        log = supervisor.log_file("rabbitmq").read_text()
    file = tmp_path / "node" / "rabbitmq.conf"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert PASSWORD not in log + repr(broker) + " ".join((*broker.spec.command, *broker.spec.env.values()))


@pytest.mark.parametrize(("user", "password"), [("Team", PASSWORD), ("team", 'quote"'), ("team", "short")])
async def test_names_that_could_break_rabbitmqs_configuration_are_refused(
    tmp_path: Path, user: str, password: str
) -> None:
    """They would be written into a file with a grammar."""
    with pytest.raises(ValueError, match="allowed") as refused:
        await rabbitmq.prepare(
            tmp_path,
            port=1,
            names_port=2,
            distribution_port=3,
            user=user,
            password=password,
            home=tmp_path,
        )
    assert password not in str(refused.value)


async def test_a_package_of_another_shape_or_a_folder_that_is_a_file_is_one_sentence(
    tmp_path: Path, port_pool: PortPool
) -> None:
    """What is missing is named, and so is the path."""
    with pytest.raises(PackageUnavailable, match=r"erts-\*"):
        await _prepared(tmp_path, port_pool, tmp_path)
    for part in ("erlang/erts-1/bin", "rabbitmq/lib/rabbitmq_server-1"):
        (tmp_path / "usr" / "lib" / part).mkdir(parents=True)
    (tmp_path / "node").write_text("")
    with PortPool({}) as other, pytest.raises(FolderUnwritable, match="node"):
        await _prepared(tmp_path, other, tmp_path)
