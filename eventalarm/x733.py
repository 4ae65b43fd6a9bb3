"""The vocabulary of X.733 and SOL003 for faults: event types, probable causes, kinds of resources."""

from __future__ import annotations

import enum
from typing import Final


class EventType(enum.StrEnum):
    """The event types of X.733, as SOL003 spells them."""

    COMMUNICATIONS = "COMMUNICATIONS_ALARM"
    PROCESSING_ERROR = "PROCESSING_ERROR_ALARM"
    ENVIRONMENTAL = "ENVIRONMENTAL_ALARM"
    QOS = "QOS_ALARM"
    EQUIPMENT = "EQUIPMENT_ALARM"


class FaultyResourceType(enum.StrEnum):
    """SOL003's kinds of virtualised resources."""

    COMPUTE = "COMPUTE"
    STORAGE = "STORAGE"
    NETWORK = "NETWORK"


# The probable causes of X.733, by the event type that it (and 3GPP TS 32.111-2, annex B) gives them.
PROBABLE_CAUSES: Final = {
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
EVENT_TYPES: Final = {cause: event_type for event_type, causes in PROBABLE_CAUSES.items() for cause in causes}
