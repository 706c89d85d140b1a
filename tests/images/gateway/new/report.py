"""Reports once what the sensors of a gateway have measured.

Readings are checked by pydantic-core itself and not through a model of pydantic's: to import all of
pydantic would more than double the time that this takes on an emulated CPU.
"""

import os
from pathlib import Path

import paho.mqtt
import pydantic_core
from paho.mqtt.matcher import MQTTMatcher
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic_core import SchemaValidator, core_schema

READING = core_schema.typed_dict_schema(
    {
        "topic": core_schema.typed_dict_field(core_schema.str_schema()),
        "celsius": core_schema.typed_dict_field(core_schema.float_schema(ge=-50, le=150, allow_inf_nan=False)),
        "taken": core_schema.typed_dict_field(core_schema.datetime_schema()),
    }
)


def properties(reading):
    """What a broker would get beside the value, through the wire format and back."""
    sent = Properties(PacketTypes.PUBLISH)
    sent.UserProperty = ("taken", reading["taken"].isoformat())
    received = Properties(PacketTypes.PUBLISH)
    received.unpack(sent.pack())
    return received.UserProperty


data = Path(__file__).with_name("readings.json").read_bytes()
readings = SchemaValidator(core_schema.list_schema(READING)).validate_json(data)
wanted = MQTTMatcher()
wanted["gateway/+/temperature"] = True
readings = [one for one in readings if any(wanted.iter_match(one["topic"]))]
for one in readings:
    assert properties(one) == [("taken", one["taken"].isoformat())]
mean = sum(one["celsius"] for one in readings) / len(readings)
highest = max(one["celsius"] for one in readings)
print(
    f"gateway report: pydantic-core {pydantic_core.__version__}, paho-mqtt {paho.mqtt.__version__}, "
    f"{os.uname().machine}, {len(readings)} readings, mean {mean:.1f}, highest {highest:.1f}"
)
