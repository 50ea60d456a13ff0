"""Modbus: pymodbus.py serve, or pymodbus.py HOST coils|registers|write|all TIMES."""

import asyncio
import sys

sys.path.pop(0)  # this file has the name of the package

from pymodbus.client import ModbusTcpClient  # noqa: E402


async def serve():
    from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
    from pymodbus.server import StartAsyncTcpServer

    def block():
        return ModbusSequentialDataBlock(1, [i * 37 % 65536 for i in range(200)])

    def bits():
        return ModbusSequentialDataBlock(1, [i % 3 == 0 for i in range(200)])

    device = ModbusDeviceContext(di=bits(), co=bits(), hr=block(), ir=block())
    await StartAsyncTcpServer(ModbusServerContext(devices=device, single=True), address=("", 502))


def talk(host: str, what: str, times: int):
    with ModbusTcpClient(host, port=502) as client:
        for i in range(times):
            if what in ("coils", "all"):
                client.read_coils(i, count=12)
                client.read_discrete_inputs(i, count=20)
            if what in ("registers", "all"):
                client.read_holding_registers(i, count=10 + i)
                client.read_input_registers(i * 2, count=6)
            if what in ("write", "all"):
                client.write_register(i, i * 11)
                client.write_registers(i, [1, 2, 3, i])
                client.write_coil(i, True)


if sys.argv[1] == "serve":
    asyncio.run(serve())
else:
    talk(sys.argv[1], sys.argv[2], int(sys.argv[3]))
