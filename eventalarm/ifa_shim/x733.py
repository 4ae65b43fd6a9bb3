"""Which event type X.733 (and 3GPP TS 32.111-2, annex B) gives to each probable cause. Pure."""

from __future__ import annotations

from typing import Final

from eventalarm.ifa_shim.alarm import EventType

CAUSES: Final = {
    EventType.COMMUNICATIONS: (
        *("lossOfSignal", "lossOfFrame", "framingError", "localNodeTransmissionError"),
        *("remoteNodeTransmissionError", "callEstablishmentError", "degradedSignal"),
        *("communicationsSubsystemFailure", "communicationsProtocolError", "lanError"),
        "dteDceInterfaceError",
    ),
    EventType.QOS: (
        *("responseTimeExcessive", "queueSizeExceeded", "bandwidthReduced", "retransmissionRateExcessive"),
        *("thresholdCrossed", "performanceDegraded", "congestion", "resourceAtOrNearingCapacity"),
    ),
    EventType.PROCESSING_ERROR: (
        *("storageCapacityProblem", "versionMismatch", "corruptData", "cpuCyclesLimitExceeded"),
        *("softwareError", "softwareProgramError", "softwareProgramAbnormallyTerminated", "fileError"),
        *("outOfMemory", "underlyingResourceUnavailable", "applicationSubsystemFailure"),
        "configurationOrCustomizationError",
    ),
    EventType.EQUIPMENT: (
        *("powerProblem", "timingProblem", "processorProblem", "dataSetOrModemError", "multiplexerProblem"),
        *("receiverFailure", "transmitterFailure", "receiveFailure", "transmitFailure"),
        *("outputDeviceError", "inputDeviceError", "inputOutputDeviceError", "equipmentMalfunction"),
        "adapterError",
    ),
    EventType.ENVIRONMENTAL: (
        *("temperatureUnacceptable", "humidityUnacceptable", "heatingVentCoolingSystemProblem"),
        *("fireDetected", "floodDetected", "toxicLeakDetected", "leakDetected", "pressureUnacceptable"),
        *("excessiveVibration", "materialSupplyExhausted", "pumpFailure", "enclosureDoorOpen"),
    ),
}
EVENT_TYPES: Final = {cause: event_type for event_type, causes in CAUSES.items() for cause in causes}
