//! The readings of a fleet, hour by hour, to the trips of its vehicles. Pure.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use millrace_analytics::driving::{Driving, Trip, VehicleDriving};
use millrace_contract::score::ScoreConfig;
use millrace_lake::LakeError;

use super::columns::Columns;

/// A trip, told with names.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetTrip {
    /// Of which vehicle.
    pub vehicle: String,
    /// The vehicle's model.
    pub model: Option<String>,
    /// The pseudonym of the hire.
    pub hire: Option<String>,
    /// The trip. Its `hire` is a number of this vehicle's own.
    pub trip: Trip,
}

/// All vehicles, and what is going on with each.
pub struct Fleet<'a> {
    config: &'a ScoreConfig,
    driving: Driving,
    /// Only readings of this time count, microseconds since 1970: from the first up to before the second.
    span: (i64, i64),
    ids: HashMap<String, u32>,
    vehicles: Vec<Vehicle>,
}

struct Vehicle {
    name: String,
    model: Option<String>,
    reference: f64,
    hires: Vec<String>,
    driving: VehicleDriving,
    trips: Vec<Trip>,
}

impl Vehicle {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            model: None,
            reference: f64::NAN,
            hires: Vec::new(),
            driving: VehicleDriving::default(),
            trips: Vec::new(),
        }
    }

    // A vehicle has few hires a day, and the last one is most likely meant.
    fn hire(&mut self, hire: &str) -> u32 {
        let known = self.hires.iter().rposition(|known| known == hire);
        let index = known.unwrap_or_else(|| {
            self.hires.push(hire.to_owned());
            self.hires.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    fn is_model(&mut self, config: &ScoreConfig, model: &str) {
        if self.model.is_none() {
            let reference = config.fuel_reference.get(model);
            let reference = reference.or_else(|| config.fuel_reference.get("*"));
            self.reference = reference.copied().unwrap_or(f64::NAN);
            self.model = Some(model.to_owned());
        }
    }
}

// Where a reading lies, and what it is put in order by.
#[derive(Clone, Copy)]
struct Place {
    micros: i64,
    // Smallest where the event has none.
    sequence: i64,
    batch: u32,
    row: u32,
}

impl<'a> Fleet<'a> {
    /// No vehicles yet. `span`: the readings that count, by event time in microseconds since 1970.
    #[must_use]
    pub fn new(config: &'a ScoreConfig, span: (i64, i64)) -> Self {
        Self {
            config,
            driving: Driving::new(config),
            span,
            ids: HashMap::new(),
            vehicles: Vec::new(),
        }
    }

    /// Takes in all readings of an hour; hours come in their order. `utc_offset`: what the local time is ahead of UTC, s.
    ///
    /// # Errors
    /// A column has a type that it never had.
    pub fn hour(&mut self, batches: &[RecordBatch], utc_offset: i64) -> Result<(), LakeError> {
        let columns = batches
            .iter()
            .map(Columns::of)
            .collect::<Result<Vec<_>, _>>()?;
        let mut places = self.by_vehicle(&columns);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let total: usize = places.iter().map(Vec::len).sum();
        let share = total.div_ceil(threads).max(1);
        let (config, driving) = (self.config, &self.driving);
        let columns = &columns;
        std::thread::scope(|scope| {
            let mut vehicles = self.vehicles.as_mut_slice();
            let mut places = places.as_mut_slice();
            while !vehicles.is_empty() {
                let (mut count, mut rows) = (0, 0);
                while count < places.len() && rows < share {
                    rows += places[count].len();
                    count += 1;
                }
                let (mine, others) = vehicles.split_at_mut(count);
                let (my_places, other_places) = places.split_at_mut(count);
                (vehicles, places) = (others, other_places);
                scope.spawn(move || {
                    for (vehicle, places) in mine.iter_mut().zip(my_places) {
                        observe(vehicle, config, driving, columns, places, utc_offset);
                    }
                });
            }
        });
        Ok(())
    }

    fn by_vehicle(&mut self, columns: &[Columns<'_>]) -> Vec<Vec<Place>> {
        let mut places: Vec<Vec<Place>> = self.vehicles.iter().map(|_| Vec::new()).collect();
        for (batch, columns) in (0..).zip(columns) {
            for row in 0..columns.rows() {
                let Some((name, micros)) = columns.whose(row) else {
                    continue;
                };
                if micros < self.span.0 || micros >= self.span.1 {
                    continue;
                }
                let id = match self.ids.get(name) {
                    Some(id) => *id,
                    None => {
                        let id = u32::try_from(self.vehicles.len()).unwrap_or(u32::MAX);
                        self.ids.insert(name.to_owned(), id);
                        self.vehicles.push(Vehicle::new(name));
                        places.push(Vec::new());
                        id
                    }
                };
                if let Some(places) = places.get_mut(id as usize) {
                    places.push(Place {
                        micros,
                        sequence: columns.sequence(row).unwrap_or(i64::MIN),
                        batch,
                        row: u32::try_from(row).unwrap_or(u32::MAX),
                    });
                }
            }
        }
        places
    }

    /// There are no more readings: all trips, by vehicle and start.
    #[must_use]
    pub fn finish(mut self, utc_offset: i64) -> Vec<FleetTrip> {
        let mut all = Vec::new();
        self.vehicles.sort_by(|a, b| a.name.cmp(&b.name));
        for mut vehicle in self.vehicles {
            let last = vehicle
                .driving
                .finish(&self.driving, utc_offset, vehicle.reference);
            vehicle.trips.extend(last);
            for trip in vehicle.trips {
                let hire = trip.hire.and_then(|hire| vehicle.hires.get(hire as usize));
                all.push(FleetTrip {
                    vehicle: vehicle.name.clone(),
                    model: vehicle.model.clone(),
                    hire: hire.cloned(),
                    trip,
                });
            }
        }
        all
    }
}

fn observe(
    vehicle: &mut Vehicle,
    config: &ScoreConfig,
    driving: &Driving,
    columns: &[Columns<'_>],
    places: &mut [Place],
    utc_offset: i64,
) {
    let of = |place: &Place| (&columns[place.batch as usize], place.row as usize);
    places.sort_unstable_by(|a, b| {
        (a.micros, a.sequence)
            .cmp(&(b.micros, b.sequence))
            .then_with(|| {
                let ((a, row_a), (b, row_b)) = (of(a), of(b));
                a.offset(row_a).cmp(&b.offset(row_b))
            })
    });
    // Sources of the events that have the same time and sequence as the one before.
    let mut sources: Vec<Option<&str>> = Vec::new();
    let mut last = None;
    for place in places.iter() {
        let (columns, row) = of(place);
        let source = columns.source(row);
        let at = (place.micros, place.sequence);
        if last != Some(at) {
            last = Some(at);
            sources.clear();
        } else if place.sequence != i64::MIN && sources.contains(&source) {
            continue;
        }
        sources.push(source);
        if let Some(model) = columns.model(row) {
            vehicle.is_model(config, model);
        }
        let hire = columns.hire(row).map(|hire| vehicle.hire(hire));
        let reading = columns.reading(row, place.micros, hire);
        let ended = vehicle
            .driving
            .observe(driving, &reading, utc_offset, vehicle.reference);
        vehicle.trips.extend(ended);
    }
}
