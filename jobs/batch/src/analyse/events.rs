//! Vehicle events and alerts from the lake's rows: by the value as it was, which these datasets always keep. Pure.

use std::collections::HashMap;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array as _, BinaryArray, PrimitiveArray, RecordBatch};
use millrace_analytics::survival::pressure;
use millrace_contract::{Alert, Component, VehicleEvent, vehicle_event};
use millrace_lake::{LakeError, schema};

use crate::score::columns::column;

/// The columns that are read.
pub const NAMES: &[&str] = &[schema::PARTITION, schema::OFFSET, schema::RAW];

/// Where an event lay in Kafka: of repeated ones the first counts.
pub type Place = (i32, i64);

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Vehicle events by vehicle and id.
    pub events: HashMap<(String, String), (Place, VehicleEvent)>,
    /// Alerts of lost pressure by id.
    pub alerts: HashMap<String, PressureAlert>,
    /// How many could not be read.
    pub unreadable: i64,
}

/// An alert of a tyre that loses pressure, or has too little.
#[derive(Debug, Clone, PartialEq)]
pub struct PressureAlert {
    /// The alert.
    pub alert: Alert,
    /// Which tyre, if it is known.
    pub tyre: Option<Component>,
}

impl Found {
    /// Takes in rows of the dataset of vehicle events.
    ///
    /// # Errors
    /// A column has a type that it never had.
    pub fn take_events(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        each(batch, |place, value| {
            let Ok(event) = vehicle_event::decode(value) else {
                self.unreadable += 1;
                return;
            };
            let key = (event.vehicle.clone(), event.id.clone());
            match self.events.get(&key) {
                Some((known, _)) if *known <= place => {}
                _ => {
                    self.events.insert(key, (place, event));
                }
            }
        })
    }

    /// Takes in rows of the dataset of alerts; those of other rules are passed over.
    ///
    /// # Errors
    /// A column has a type that it never had.
    pub fn take_alerts(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        each(batch, |_, value| {
            let Ok(alert) = serde_json::from_slice::<Alert>(value) else {
                self.unreadable += 1;
                return;
            };
            if !pressure::begins_drop(&alert.rule) {
                return;
            }
            let wheel = alert.details.wheel.as_deref();
            let tyre = wheel.and_then(Component::tyre_of);
            // Equal ids are equal causes: detection may tell of one twice.
            self.alerts
                .insert(alert.id.clone(), PressureAlert { alert, tyre });
        })
    }
}

fn each(batch: &RecordBatch, mut take: impl FnMut(Place, &[u8])) -> Result<(), LakeError> {
    let raw: Option<&BinaryArray> = column(batch, schema::RAW, |array| array.as_binary_opt())?;
    let partition: Option<&PrimitiveArray<Int32Type>> =
        column(batch, schema::PARTITION, |array| array.as_primitive_opt())?;
    let offset: Option<&PrimitiveArray<Int64Type>> =
        column(batch, schema::OFFSET, |array| array.as_primitive_opt())?;
    for row in 0..batch.num_rows() {
        let place = (
            partition.map_or(0, |array| array.value(row)),
            offset.map_or(0, |array| array.value(row)),
        );
        let value = raw.filter(|array| array.is_valid(row));
        take(place, value.map_or(&[], |array| array.value(row)));
    }
    Ok(())
}
