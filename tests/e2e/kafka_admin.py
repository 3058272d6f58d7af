"""The few requests to a Kafka cluster that tests need and no installed tool can make, straight on the wire.

Each uses the oldest version that brokers from 1.0 to 4.x know. `brokers` is a bootstrap list: where a request must reach one
certain broker (a leader, a coordinator), each of the list is asked in turn.
"""
import socket
import struct

_METADATA, _OFFSET_FETCH, _CREATE_TOPICS, _DELETE_TOPICS, _DELETE_RECORDS, _CREATE_PARTITIONS, _FETCH, _LIST_OFFSETS = 3, 9, 19, 20, 21, 37, 1, 2
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


class KafkaError(RuntimeError):
    pass


def _text(s):
    return struct.pack(">h", len(s)) + s.encode()


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, layout):
        values = struct.unpack_from(">" + layout, self.data, self.at)
        self.at += struct.calcsize(">" + layout)
        return values[0] if len(values) == 1 else values

    def text(self):
        size = self.take("h")
        return None if size < 0 else self.bytes_of(size).decode()

    def bytes_of(self, size):
        value = self.data[self.at:self.at + size]
        self.at += size
        return value


def request(broker, key, version, body):
    """The body of the answer."""
    host, _, port = broker.rpartition(":")
    message = struct.pack(">hhi", key, version, 1) + _text("weir-e2e") + body
    with socket.create_connection((host.strip("[]"), int(port)), timeout=40) as connection:
        connection.sendall(struct.pack(">i", len(message)) + message)
        with connection.makefile("rb") as stream:
            size = struct.unpack(">i", stream.read(4))[0]
            return _Reader(stream.read(size)[4:])


def _any(brokers, key, version, body, error_of):
    errors = []
    for broker in brokers.split(","):
        answer = request(broker, key, version, body)
        error = error_of(answer)
        if not error:
            return answer
        errors.append(error)
    raise KafkaError("request %d to %s: Kafka errors %s" % (key, brokers, errors))


def topics(brokers):
    """Names of all topics. Asks for no topic by name, which could create it."""
    answer = request(brokers.split(",")[0], _METADATA, 1, struct.pack(">i", -1))
    for _ in range(answer.take("i")):
        answer.take("i"), answer.text(), answer.take("i"), answer.text()
    answer.take("i")
    names = set()
    for _ in range(answer.take("i")):
        answer.take("h")
        names.add(answer.text())
        answer.take("b")
        for _ in range(answer.take("i")):
            answer.take("hii")
            for _ in range(2):
                answer.take("%di" % answer.take("i"))
    return names


def create_topic(brokers, name, partitions, **config):
    body = struct.pack(">i", 1) + _text(name) + struct.pack(">ihi", partitions, 1, 0) + struct.pack(">i", len(config))
    for key, value in config.items():
        body += _text(key.replace("_", ".")) + _text(str(value))

    def error(answer):
        answer.take("ii"), answer.text()
        return answer.take("h")
    _any(brokers, _CREATE_TOPICS, 2, body + struct.pack(">ib", 30000, 0), error)


def delete_topic(brokers, name):
    def error(answer):
        answer.take("ii"), answer.text()
        return answer.take("h")
    _any(brokers, _DELETE_TOPICS, 1, struct.pack(">i", 1) + _text(name) + struct.pack(">i", 30000), error)


def create_partitions(brokers, name, count):
    def error(answer):
        answer.take("ii"), answer.text()
        return answer.take("h")
    _any(brokers, _CREATE_PARTITIONS, 0, struct.pack(">i", 1) + _text(name) + struct.pack(">iiib", count, -1, 30000, 0), error)


def delete_records(brokers, topic, partition, before):
    """Takes away all records below offset `before`, as retention would."""
    def error(answer):
        answer.take("ii"), answer.text(), answer.take("ii")
        return answer.take("qh")[1]
    _any(brokers, _DELETE_RECORDS, 0, struct.pack(">i", 1) + _text(topic) + struct.pack(">iiqi", 1, partition, before, 30000), error)


def group_offsets(brokers, group, topic, partitions):
    """What lag tools see: {partition: offset, -1 for none}."""
    found = {}

    def error(answer):
        found.clear()
        answer.take("i"), answer.text()
        for _ in range(answer.take("i")):
            partition, offset = answer.take("iq")
            answer.text()
            worst = answer.take("h")
            if worst:
                return worst
            found[partition] = offset
        return answer.take("h")
    body = _text(group) + struct.pack(">i", 1) + _text(topic) + struct.pack(">%di" % (partitions + 1), partitions, *range(partitions))
    _any(brokers, _OFFSET_FETCH, 2, body, error)
    return found


def end_offset(brokers, topic, partition, committed=True):
    """Where a reader ends; `committed`: before transactions that are still open."""
    answer = {}

    def error(reader):
        reader.take("ii"), reader.text(), reader.take("i")
        _, code, _, offset = reader.take("ihqq")
        answer["offset"] = offset
        return code
    body = struct.pack(">ibi", -1, committed, 1) + _text(topic) + struct.pack(">iiq", 1, partition, -1)
    _any(brokers, _LIST_OFFSETS, 2, body, error)
    return answer["offset"]


def codecs(brokers, topic, partition):
    """Names of the compressions of the stored batches that one fetch from the beginning gives."""
    batches = []

    def error(answer):
        answer.take("ihii"), answer.text(), answer.take("i")
        _, code, _, _, _ = answer.take("ihqqq")
        for _ in range(max(0, answer.take("i"))):
            answer.take("qq")
        batches.append(answer.bytes_of(max(0, answer.take("i"))))
        return code
    body = (struct.pack(">iiiibiii", -1, 500, 1, 4 << 20, 0, 0, -1, 1) + _text(topic) +
            struct.pack(">iiiqqi", 1, partition, -1, 0, -1, 4 << 20) + struct.pack(">i", 0))
    _any(brokers, _FETCH, 10, body, error)
    data, found, at = batches[-1], set(), 0
    while at + 23 <= len(data):
        found.add(CODECS[struct.unpack_from(">h", data, at + 21)[0] & 7])
        at += 12 + struct.unpack_from(">i", data, at + 8)[0]
    return found
