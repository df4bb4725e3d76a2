//! The kinds of milestone and their codes in the trade's vocabularies (X12 214 element 1650, UN/ECE Recommendation 24,
//! GS1 EPCIS CBV bizStep).

use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $x12:expr, $rec24:expr, $biz_step:expr;)*) => {
        /// What happened. The text form is the canonical name, such as `delivery.arrived`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum MilestoneKind {
            $($(#[$doc])* #[serde(rename = $name)] $kind,)*
        }

        impl MilestoneKind {
            /// The canonical name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// X12 214 shipment status code (element 1650).
            #[must_use]
            pub const fn x12(self) -> Option<&'static str> {
                match self { $(Self::$kind => $x12,)* }
            }

            /// UN/ECE Recommendation 24 trade and transport status code.
            #[must_use]
            pub const fn rec24(self) -> Option<&'static str> {
                match self { $(Self::$kind => $rec24,)* }
            }

            /// GS1 EPCIS CBV business step.
            #[must_use]
            pub const fn biz_step(self) -> Option<&'static str> {
                match self { $(Self::$kind => $biz_step,)* }
            }
        }
    };
}

kinds! {
    /// The vehicle reached a place of loading.
    PickupArrived = "pickup.arrived", Some("X3"), Some("1"), Some("arriving");
    /// Goods were taken on.
    PickupLoaded = "pickup.loaded", Some("CP"), Some("48"), Some("loading");
    /// The vehicle left a place of loading.
    PickupDeparted = "pickup.departed", Some("AF"), Some("24"), Some("departing");
    /// The vehicle reached a place of delivery.
    DeliveryArrived = "delivery.arrived", Some("X1"), Some("1"), Some("arriving");
    /// Delivered, with proof.
    DeliveryCompleted = "delivery.completed", Some("D1"), Some("21"), Some("accepting");
    /// Partly delivered, with proof.
    DeliveryPartial = "delivery.partial", Some("PA"), Some("21"), None;
    /// Delivery was attempted and failed.
    DeliveryFailed = "delivery.failed", Some("AP"), Some("23"), Some("holding");
    /// The consignee refused the goods.
    DeliveryRefused = "delivery.refused", Some("A7"), Some("23"), None;
    /// The goods were damaged.
    DeliveryDamaged = "delivery.damaged", Some("A9"), Some("18"), None;
    /// The goods go back.
    Returned = "returned", Some("A3"), None, None;
    /// The vehicle left a place of delivery.
    DeliveryDeparted = "delivery.departed", Some("CD"), Some("24"), Some("departing");
}

impl std::fmt::Display for MilestoneKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
