//! Cases: what a person must decide or should know.
//!
//! Promise: the same trouble opens one case however often it is met, and meeting it again after someone closed the case
//! opens it again.

use milepost_proto::{FleetId, Timestamp};
use rusqlite::{Connection, params};

use super::StoreResult;

/// Trouble that was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What kind it is.
    pub kind: TroubleKind,
    /// What it is about: a device, a shipment, an effect; with the kind it names the case.
    pub subject: String,
    /// A sentence with its mend.
    pub detail: String,
}

/// The kinds of case the gateway opens by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TroubleKind {
    /// Two chunks claim the same sequences differently.
    Conflict,
    /// Evidence whose signature or hash chain does not hold.
    SealBroken,
    /// A chunk that is not accepted as it stands.
    Refused,
    /// A record that breaks a bound its sender should have held: kept, but nothing follows from it.
    Unusable,
    /// A device sends records for which no vehicle is assigned.
    Unassigned,
    /// A vehicle that could not be folded: a defect of this program.
    FoldFailed,
    /// An effect that cannot happen until a person mends something.
    ParkedEffect,
    /// An order that cannot be driven as it stands.
    Order,
    /// The store lost something it held.
    Damaged,
    /// A device reports evidence as lost.
    EvidenceLost,
    /// Evidence is missing for longer than it should take to come.
    EvidenceMissing,
    /// A record came after what it would change was settled for good.
    BeforeFloor,
}

impl TroubleKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Conflict,
        Self::SealBroken,
        Self::Refused,
        Self::Unusable,
        Self::Unassigned,
        Self::FoldFailed,
        Self::ParkedEffect,
        Self::Order,
        Self::Damaged,
        Self::EvidenceLost,
        Self::EvidenceMissing,
        Self::BeforeFloor,
    ];

    /// The kind's word in SQL, pages and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::SealBroken => "seal_broken",
            Self::Refused => "refused",
            Self::Unusable => "unusable",
            Self::Unassigned => "unassigned",
            Self::FoldFailed => "fold_failed",
            Self::ParkedEffect => "parked_effect",
            Self::Order => "order",
            Self::Damaged => "store_damaged",
            Self::EvidenceLost => "evidence_lost",
            Self::EvidenceMissing => "evidence_missing",
            Self::BeforeFloor => "before_floor",
        }
    }
}

/// Opens the case of `trouble`, or counts one more time that it was met.
///
/// # Errors
/// When the store fails.
pub fn meet(connection: &Connection, fleet_id: &FleetId, trouble: &Trouble, now: Timestamp) -> StoreResult<()> {
    let kind = trouble.kind.as_str();
    let sql = "INSERT INTO exception_case (fleet_id, case_key, kind, subject, detail, opened_at, last_met_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
        ON CONFLICT (fleet_id, case_key) DO UPDATE SET
            detail = excluded.detail, last_met_at = excluded.last_met_at, times_met = times_met + 1,
            closed_at = NULL, closed_by = NULL";
    let key = format!("{kind}:{}", trouble.subject);
    connection.prepare_cached(sql)?.execute(params![
        fleet_id.as_str(),
        key,
        kind,
        trouble.subject,
        trouble.detail,
        now.as_millis()
    ])?;
    Ok(())
}

/// How many cases of each kind are open, by the kind's word.
///
/// # Errors
/// When the store fails.
pub fn open_by_kind(connection: &Connection, fleet_id: &FleetId) -> StoreResult<Vec<(String, i64)>> {
    let sql = "SELECT kind, count(*) FROM exception_case WHERE fleet_id = ?1 AND closed_at IS NULL GROUP BY kind";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([fleet_id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
