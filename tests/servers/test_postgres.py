"""The server of the tests does what tests ask of it."""

from __future__ import annotations

import socket

from tests.servers.postgres import PostgresServer


def answers(server: PostgresServer) -> bool:
    """Whether it says a word within half a second; its kernel takes the connection in any case."""
    try:
        with socket.create_connection(("127.0.0.1", server.port), 0.5) as connection:
            connection.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")  # do you speak TLS?
            return connection.recv(1) == b"N"
    except OSError:
        return False


def test_each_database_is_empty_and_alone(postgres: PostgresServer) -> None:
    first, second = postgres.create_database(), postgres.create_database()

    postgres.sql("CREATE TABLE here (x int)", first)

    assert postgres.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'here'", second) == "0"
    assert postgres.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'here'", first) == "1"
    postgres.drop_database(first)
    postgres.drop_database(second)


def test_data_survives_a_kill_and_the_port_stays(spare_postgres: PostgresServer) -> None:
    server, port = spare_postgres, spare_postgres.port
    name = server.create_database()
    server.sql("CREATE TABLE kept (x int)", name)
    server.sql("CHECKPOINT")

    server.kill()
    assert not server.running
    assert not answers(server)
    server.start()

    assert server.port == port
    assert answers(server)
    assert server.sql("SELECT count(*) FROM kept", name) == "0"


def test_a_frozen_server_says_nothing_until_it_thaws(spare_postgres: PostgresServer) -> None:
    spare_postgres.freeze()
    assert not answers(spare_postgres)

    spare_postgres.thaw()

    assert answers(spare_postgres)


def test_nothing_is_left_of_a_server_that_is_closed() -> None:
    server = PostgresServer()
    server.start()
    folder = server.folder

    server.close()

    assert not server.running
    assert not folder.exists()
