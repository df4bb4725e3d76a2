//! The table's content.
//!
//! Promise: parameter groups in the order of their numbers, signals in the order they lie; no bit is read twice.

use super::{COARSE_DISTANCE_PGN, FINE_DISTANCE_PGN, Message, SignalSpec as S};

/// A key switch carries the battery's voltage when it is on, and next to none when it is off, V.
const KEYSWITCH_ON_V: (f64, f64) = (6.0, f64::MAX);
const KEYSWITCH_OFF_V: (f64, f64) = (0.0, 3.0);

/// Each signal: parameter number, name, (first byte from 1, bits), (units per bit as a fraction, offset), unit; a state
/// or code: its byte and first bit from 1.
pub(super) const MESSAGES: &[Message] = &[
    Message {
        pgn: 61441,
        name: "EBC1",
        signals: &[
            S::state(563, "AntiLockBrakingActive", 1, 5).vss("Vehicle.ADAS.ABS.IsEngaged"),
            S::state(1121, "EBSBrakeSwitch", 1, 7).switch("ebs_brake"),
            S::new(521, "BrakePedalPos", (2, 8), (2, 5, 0), "%").vss("Vehicle.Chassis.Brake.PedalPosition"),
        ],
    },
    Message {
        pgn: 61443,
        name: "EEC2",
        signals: &[
            S::new(91, "AccelPedalPos1", (2, 8), (2, 5, 0), "%").vss("Vehicle.Chassis.Accelerator.PedalPosition"),
            S::new(92, "EngPercentLoadAtCurrentSpeed", (3, 8), (1, 1, 0), "%"),
        ],
    },
    Message {
        pgn: 61444,
        name: "EEC1",
        signals: &[
            S::new(512, "DriversDemandEngPercentTorque", (2, 8), (1, 1, -125), "%"),
            S::new(513, "ActualEngPercentTorque", (3, 8), (1, 1, -125), "%"),
            S::new(190, "EngSpeed", (4, 16), (1, 8, 0), "rpm").vss("Vehicle.Powertrain.CombustionEngine.Speed"),
        ],
    },
    Message {
        pgn: 65102,
        name: "DC1",
        signals: &[S::code(1821, "PositionOfDoors", 1, 1, 4).switch_in("door", (0.0, 1.0), (2.0, 2.0))],
    },
    Message {
        pgn: 65132,
        name: "TCO1",
        signals: &[
            S::code(1612, "Driver1WorkingState", 1, 1, 3),
            S::code(1613, "Driver2WorkingState", 1, 4, 3),
            S::state(1611, "VehicleMotion", 1, 7).switch("motion"),
            S::state(1615, "DriverCardDriver1", 2, 5).switch("driver_card_1"),
            S::state(1614, "VehicleOverspeed", 2, 7).switch("overspeed"),
            S::state(1616, "DriverCardDriver2", 3, 5).switch("driver_card_2"),
            S::new(1623, "TachographOutputShaftSpeed", (5, 16), (1, 8, 0), "rpm"),
            S::new(1624, "TachographVehicleSpeed", (7, 16), (1, 256, 0), "km/h"),
        ],
    },
    Message { pgn: 65215, name: "EBC2", signals: &[S::new(904, "FrontAxleSpeed", (1, 16), (1, 256, 0), "km/h")] },
    Message {
        pgn: FINE_DISTANCE_PGN,
        name: "VDHR",
        signals: &[
            S::new(917, "HghRslutionTotalVehicleDistance", (1, 32), (1, 200, 0), "km").vss("Vehicle.TraveledDistance"),
            S::new(918, "HghRslutionTripDistance", (5, 32), (1, 200, 0), "km"),
        ],
    },
    Message {
        pgn: COARSE_DISTANCE_PGN,
        name: "VD",
        signals: &[
            S::new(244, "TripDistance", (1, 32), (1, 8, 0), "km"),
            S::new(245, "TotalVehicleDistance", (5, 32), (1, 8, 0), "km").vss("Vehicle.TraveledDistance"),
        ],
    },
    Message {
        pgn: 65253,
        name: "HOURS",
        signals: &[S::new(247, "EngTotalHoursOfOperation", (1, 32), (1, 20, 0), "h")
            .vss("Vehicle.Powertrain.CombustionEngine.EngineHours")],
    },
    Message {
        pgn: 65257,
        name: "LFC1",
        signals: &[
            S::new(182, "EngTripFuel", (1, 32), (1, 2, 0), "l"),
            S::new(250, "EngTotalFuelUsed", (5, 32), (1, 2, 0), "l"),
        ],
    },
    Message {
        pgn: 65262,
        name: "ET1",
        signals: &[
            S::new(110, "EngCoolantTemp", (1, 8), (1, 1, -40), "°C")
                .vss("Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature"),
            S::new(174, "EngFuelTemp1", (2, 8), (1, 1, -40), "°C"),
            S::new(175, "EngOilTemp1", (3, 16), (1, 32, -273), "°C")
                .vss("Vehicle.Powertrain.CombustionEngine.EngineOil.Temperature"),
        ],
    },
    Message {
        pgn: 65263,
        name: "EFLP1",
        signals: &[
            S::new(94, "EngFuelDeliveryPress", (1, 8), (4, 1, 0), "kPa"),
            S::new(98, "EngOilLevel", (3, 8), (2, 5, 0), "%"),
            S::new(100, "EngOilPress", (4, 8), (4, 1, 0), "kPa").vss("Vehicle.Powertrain.CombustionEngine.EOP"),
            S::new(109, "EngCoolantPress", (7, 8), (2, 1, 0), "kPa"),
            S::new(111, "EngCoolantLevel1", (8, 8), (2, 5, 0), "%"),
        ],
    },
    Message {
        pgn: 65264,
        name: "PTO",
        signals: &[
            S::new(90, "PTOOilTemp", (1, 8), (1, 1, -40), "°C"),
            S::new(186, "PTOSpeed", (2, 16), (1, 8, 0), "rpm"),
            S::new(187, "PTOSetSpeed", (4, 16), (1, 8, 0), "rpm"),
            S::state(980, "EngPTOGovernorEnableSwitch", 6, 1).switch("pto"),
        ],
    },
    Message {
        pgn: 65265,
        name: "CCVS1",
        signals: &[
            S::state(70, "ParkingBrakeSwitch", 1, 3).switch("parking_brake"),
            S::new(84, "WheelBasedVehicleSpeed", (2, 16), (1, 256, 0), "km/h").vss("Vehicle.Speed"),
            S::state(597, "BrakeSwitch", 4, 5).switch("brake"),
            S::state(598, "ClutchSwitch", 4, 7).switch("clutch"),
            S::code(976, "PTOGovernorState", 7, 1, 5),
        ],
    },
    Message {
        pgn: 65266,
        name: "LFE1",
        signals: &[
            S::new(183, "EngFuelRate", (1, 16), (1, 20, 0), "l/h"),
            S::new(184, "EngInstantaneousFuelEconomy", (3, 16), (1, 512, 0), "km/l"),
            S::new(185, "EngAverageFuelEconomy", (5, 16), (1, 512, 0), "km/l"),
            S::new(51, "EngThrottleValve1Pos1", (7, 8), (2, 5, 0), "%"),
        ],
    },
    Message {
        pgn: 65269,
        name: "AMB",
        signals: &[
            S::new(108, "BarometricPress", (1, 8), (1, 2, 0), "kPa"),
            S::new(170, "CabInteriorTemp", (2, 16), (1, 32, -273), "°C"),
            S::new(171, "AmbientAirTemp", (4, 16), (1, 32, -273), "°C").vss("Vehicle.Exterior.AirTemperature"),
            S::new(172, "EngIntakeAirTemp", (6, 8), (1, 1, -40), "°C"),
            S::new(79, "RoadSurfaceTemp", (7, 16), (1, 32, -273), "°C"),
        ],
    },
    Message {
        pgn: 65271,
        name: "VEP1",
        signals: &[
            S::new(168, "BatteryPotential", (5, 16), (1, 20, 0), "V").vss("Vehicle.LowVoltageBattery.CurrentVoltage"),
            S::new(158, "KeyswitchBatteryPotential", (7, 16), (1, 20, 0), "V").switch_in(
                "ignition",
                KEYSWITCH_ON_V,
                KEYSWITCH_OFF_V,
            ),
        ],
    },
    Message {
        pgn: 65276,
        name: "DD1",
        signals: &[
            S::new(96, "FuelLevel1", (2, 8), (2, 5, 0), "%").vss("Vehicle.Powertrain.FuelSystem.RelativeLevel"),
            S::new(441, "CargoAmbientTemp", (5, 16), (1, 32, -273), "°C"),
            S::new(38, "FuelLevel2", (7, 8), (2, 5, 0), "%"),
        ],
    },
];
