//! Telemetry. GENERATED from schema.yaml by millrace-generate-contract; do not edit.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Field, Invalid, Kind, Privacy};

/// Version of the schema.
pub const VERSION: u32 = 1;

/// One event of one vehicle: what was measured at one time. Only what was measured is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Telemetry {
    /// Vehicle id.
    pub vehicle: String,
    /// Counts the vehicle's events; a repeated number is a repeated event.
    pub sequence: u64,
    /// When it was measured, in whole microseconds.
    #[serde(deserialize_with = "crate::time::micros")]
    pub time: Timestamp,
    /// Pseudonym of the hire; never a driver id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hire: Option<String>,
    /// Model of the vehicle, which picks its thresholds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Speed over ground, in `km/h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
    /// Speed limit of the road as the vehicle knows it, in `km/h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_limit: Option<f64>,
    /// Engine speed, in `{rpm}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_speed: Option<f64>,
    /// Time since the engine was started, in `s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_run_time: Option<f64>,
    /// Calculated engine load, in `%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_load: Option<f64>,
    /// Engine coolant temperature, in `Cel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coolant_temperature: Option<f64>,
    /// Engine oil temperature, in `Cel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oil_temperature: Option<f64>,
    /// Engine oil pressure, in `kPa`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oil_pressure: Option<f64>,
    /// Intake air temperature, in `Cel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intake_air_temperature: Option<f64>,
    /// Intake manifold absolute pressure, in `kPa`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intake_manifold_pressure: Option<f64>,
    /// Barometric pressure, in `kPa`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barometric_pressure: Option<f64>,
    /// Mass air flow into the engine, in `g/s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mass_air_flow: Option<f64>,
    /// Air temperature outside, in `Cel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ambient_temperature: Option<f64>,
    /// Catalyst temperature, bank 1, sensor 1, in `Cel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalyst_temperature: Option<f64>,
    /// Ignition timing advance of cylinder 1, in `deg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing_advance: Option<f64>,
    /// Short-term fuel trim, bank 1, in `%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel_trim_short: Option<f64>,
    /// Long-term fuel trim, bank 1, in `%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel_trim_long: Option<f64>,
    /// Throttle position, in `%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<f64>,
    /// Accelerator pedal position, in `%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator_pedal: Option<f64>,
    /// Brake pedal position, in `%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brake_pedal: Option<f64>,
    /// Fuel in the tank, in `%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel_level: Option<f64>,
    /// Fuel consumed per hour, in `l/h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel_rate: Option<f64>,
    /// Voltage of the low-voltage battery, in `V`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub battery_voltage: Option<f64>,
    /// Charge of the traction battery, in `%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_of_charge: Option<f64>,
    /// Tyre pressure above ambient, front left, in `kPa`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tyre_pressure_front_left: Option<f64>,
    /// Tyre pressure above ambient, front right, in `kPa`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tyre_pressure_front_right: Option<f64>,
    /// Tyre pressure above ambient, rear left, in `kPa`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tyre_pressure_rear_left: Option<f64>,
    /// Tyre pressure above ambient, rear right, in `kPa`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tyre_pressure_rear_right: Option<f64>,
    /// Air temperature in the tyre, front left, in `Cel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tyre_temperature_front_left: Option<f64>,
    /// Air temperature in the tyre, front right, in `Cel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tyre_temperature_front_right: Option<f64>,
    /// Air temperature in the tyre, rear left, in `Cel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tyre_temperature_rear_left: Option<f64>,
    /// Air temperature in the tyre, rear right, in `Cel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tyre_temperature_rear_right: Option<f64>,
    /// Whether the check-engine lamp is lit, in no unit.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::codec::flag")]
    pub mil_on: Option<bool>,
    /// Stored diagnostic trouble codes, SAE J2012 (P0217), in no unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtc_list: Option<Vec<String>>,
    /// Number of stored diagnostic trouble codes, in no unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtc_count: Option<f64>,
    /// Distance driven with the check-engine lamp lit, in `km`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance_with_mil: Option<f64>,
    /// Engine run time with the check-engine lamp lit, in `min`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_time_with_mil: Option<f64>,
    /// Engine run time since trouble codes were cleared, in `min`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_since_codes_cleared: Option<f64>,
    /// Warm-ups since trouble codes were cleared, saturates at 255, in no unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_ups_since_codes_cleared: Option<f64>,
    /// Distance travelled in the life of the vehicle, in `m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub odometer: Option<f64>,
    /// Distance travelled since the start of the trip, in `m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trip_distance: Option<f64>,
    /// Latitude, WGS 84, in `deg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Longitude, WGS 84, in `deg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// Height above sea level, in `m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub altitude: Option<f64>,
    /// Heading, 0 is north, clockwise, in `deg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heading: Option<f64>,
    /// Accuracy of latitude and longitude, in `m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizontal_accuracy: Option<f64>,
    /// Acceleration forward, ISO 8855, in `m/s2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acceleration_longitudinal: Option<f64>,
    /// Acceleration to the left, ISO 8855, in `m/s2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acceleration_lateral: Option<f64>,
    /// Acceleration upward, ISO 8855, in `m/s2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acceleration_vertical: Option<f64>,
    /// Turn rate about the vertical axis, left positive, in `deg/s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yaw_rate: Option<f64>,
    /// Steering wheel angle, left positive, in `deg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steering_angle: Option<f64>,
}

/// An event as a vehicle sends it: nothing unknown, and who drives.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wire {
    vehicle: String,
    sequence: u64,
    #[serde(deserialize_with = "crate::time::micros")]
    time: Timestamp,
    model: Option<String>,
    driver: Option<String>,
    hire: Option<String>,
    speed: Option<f64>,
    speed_limit: Option<f64>,
    engine_speed: Option<f64>,
    engine_run_time: Option<f64>,
    engine_load: Option<f64>,
    coolant_temperature: Option<f64>,
    oil_temperature: Option<f64>,
    oil_pressure: Option<f64>,
    intake_air_temperature: Option<f64>,
    intake_manifold_pressure: Option<f64>,
    barometric_pressure: Option<f64>,
    mass_air_flow: Option<f64>,
    ambient_temperature: Option<f64>,
    catalyst_temperature: Option<f64>,
    timing_advance: Option<f64>,
    fuel_trim_short: Option<f64>,
    fuel_trim_long: Option<f64>,
    throttle: Option<f64>,
    accelerator_pedal: Option<f64>,
    brake_pedal: Option<f64>,
    fuel_level: Option<f64>,
    fuel_rate: Option<f64>,
    battery_voltage: Option<f64>,
    state_of_charge: Option<f64>,
    tyre_pressure_front_left: Option<f64>,
    tyre_pressure_front_right: Option<f64>,
    tyre_pressure_rear_left: Option<f64>,
    tyre_pressure_rear_right: Option<f64>,
    tyre_temperature_front_left: Option<f64>,
    tyre_temperature_front_right: Option<f64>,
    tyre_temperature_rear_left: Option<f64>,
    tyre_temperature_rear_right: Option<f64>,
    #[serde(default, deserialize_with = "crate::codec::flag")]
    mil_on: Option<bool>,
    dtc_list: Option<Vec<String>>,
    dtc_count: Option<f64>,
    distance_with_mil: Option<f64>,
    run_time_with_mil: Option<f64>,
    time_since_codes_cleared: Option<f64>,
    warm_ups_since_codes_cleared: Option<f64>,
    odometer: Option<f64>,
    trip_distance: Option<f64>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    altitude: Option<f64>,
    heading: Option<f64>,
    horizontal_accuracy: Option<f64>,
    acceleration_longitudinal: Option<f64>,
    acceleration_lateral: Option<f64>,
    acceleration_vertical: Option<f64>,
    yaw_rate: Option<f64>,
    steering_angle: Option<f64>,
}

impl Wire {
    /// Parts telemetry from driver id and hire id.
    pub(crate) fn split(self) -> (Telemetry, Option<String>, Option<String>) {
        let telemetry = Telemetry {
            vehicle: self.vehicle,
            sequence: self.sequence,
            time: self.time,
            hire: None,
            model: self.model,
            speed: self.speed,
            speed_limit: self.speed_limit,
            engine_speed: self.engine_speed,
            engine_run_time: self.engine_run_time,
            engine_load: self.engine_load,
            coolant_temperature: self.coolant_temperature,
            oil_temperature: self.oil_temperature,
            oil_pressure: self.oil_pressure,
            intake_air_temperature: self.intake_air_temperature,
            intake_manifold_pressure: self.intake_manifold_pressure,
            barometric_pressure: self.barometric_pressure,
            mass_air_flow: self.mass_air_flow,
            ambient_temperature: self.ambient_temperature,
            catalyst_temperature: self.catalyst_temperature,
            timing_advance: self.timing_advance,
            fuel_trim_short: self.fuel_trim_short,
            fuel_trim_long: self.fuel_trim_long,
            throttle: self.throttle,
            accelerator_pedal: self.accelerator_pedal,
            brake_pedal: self.brake_pedal,
            fuel_level: self.fuel_level,
            fuel_rate: self.fuel_rate,
            battery_voltage: self.battery_voltage,
            state_of_charge: self.state_of_charge,
            tyre_pressure_front_left: self.tyre_pressure_front_left,
            tyre_pressure_front_right: self.tyre_pressure_front_right,
            tyre_pressure_rear_left: self.tyre_pressure_rear_left,
            tyre_pressure_rear_right: self.tyre_pressure_rear_right,
            tyre_temperature_front_left: self.tyre_temperature_front_left,
            tyre_temperature_front_right: self.tyre_temperature_front_right,
            tyre_temperature_rear_left: self.tyre_temperature_rear_left,
            tyre_temperature_rear_right: self.tyre_temperature_rear_right,
            mil_on: self.mil_on,
            dtc_list: self.dtc_list,
            dtc_count: self.dtc_count,
            distance_with_mil: self.distance_with_mil,
            run_time_with_mil: self.run_time_with_mil,
            time_since_codes_cleared: self.time_since_codes_cleared,
            warm_ups_since_codes_cleared: self.warm_ups_since_codes_cleared,
            odometer: self.odometer,
            trip_distance: self.trip_distance,
            latitude: self.latitude,
            longitude: self.longitude,
            altitude: self.altitude,
            heading: self.heading,
            horizontal_accuracy: self.horizontal_accuracy,
            acceleration_longitudinal: self.acceleration_longitudinal,
            acceleration_lateral: self.acceleration_lateral,
            acceleration_vertical: self.acceleration_vertical,
            yaw_rate: self.yaw_rate,
            steering_angle: self.steering_angle,
        };
        (telemetry, self.driver, self.hire)
    }
}

impl Telemetry {
    /// An event that has measured nothing yet.
    pub fn new(vehicle: impl Into<String>, sequence: u64, time: Timestamp) -> Self {
        Self { vehicle: vehicle.into(), sequence, time: crate::time::truncate(time), ..Self::default() }
    }

    /// Whether an event may have a field of this name.
    pub(crate) fn knows(name: &str) -> bool {
        matches!(name, "vehicle" | "sequence" | "time" | "model" | "driver" | "hire") || field(name).is_some()
    }

    /// The number in the field of this name.
    pub fn number(&self, name: &str) -> Option<f64> {
        match name {
            "speed" => self.speed,
            "speed_limit" => self.speed_limit,
            "engine_speed" => self.engine_speed,
            "engine_run_time" => self.engine_run_time,
            "engine_load" => self.engine_load,
            "coolant_temperature" => self.coolant_temperature,
            "oil_temperature" => self.oil_temperature,
            "oil_pressure" => self.oil_pressure,
            "intake_air_temperature" => self.intake_air_temperature,
            "intake_manifold_pressure" => self.intake_manifold_pressure,
            "barometric_pressure" => self.barometric_pressure,
            "mass_air_flow" => self.mass_air_flow,
            "ambient_temperature" => self.ambient_temperature,
            "catalyst_temperature" => self.catalyst_temperature,
            "timing_advance" => self.timing_advance,
            "fuel_trim_short" => self.fuel_trim_short,
            "fuel_trim_long" => self.fuel_trim_long,
            "throttle" => self.throttle,
            "accelerator_pedal" => self.accelerator_pedal,
            "brake_pedal" => self.brake_pedal,
            "fuel_level" => self.fuel_level,
            "fuel_rate" => self.fuel_rate,
            "battery_voltage" => self.battery_voltage,
            "state_of_charge" => self.state_of_charge,
            "tyre_pressure_front_left" => self.tyre_pressure_front_left,
            "tyre_pressure_front_right" => self.tyre_pressure_front_right,
            "tyre_pressure_rear_left" => self.tyre_pressure_rear_left,
            "tyre_pressure_rear_right" => self.tyre_pressure_rear_right,
            "tyre_temperature_front_left" => self.tyre_temperature_front_left,
            "tyre_temperature_front_right" => self.tyre_temperature_front_right,
            "tyre_temperature_rear_left" => self.tyre_temperature_rear_left,
            "tyre_temperature_rear_right" => self.tyre_temperature_rear_right,
            "dtc_count" => self.dtc_count,
            "distance_with_mil" => self.distance_with_mil,
            "run_time_with_mil" => self.run_time_with_mil,
            "time_since_codes_cleared" => self.time_since_codes_cleared,
            "warm_ups_since_codes_cleared" => self.warm_ups_since_codes_cleared,
            "odometer" => self.odometer,
            "trip_distance" => self.trip_distance,
            "latitude" => self.latitude,
            "longitude" => self.longitude,
            "altitude" => self.altitude,
            "heading" => self.heading,
            "horizontal_accuracy" => self.horizontal_accuracy,
            "acceleration_longitudinal" => self.acceleration_longitudinal,
            "acceleration_lateral" => self.acceleration_lateral,
            "acceleration_vertical" => self.acceleration_vertical,
            "yaw_rate" => self.yaw_rate,
            "steering_angle" => self.steering_angle,
            _ => None,
        }
    }

    /// The place of the number in the field of this name; `None` when there is no such number field.
    pub fn number_mut(&mut self, name: &str) -> Option<&mut Option<f64>> {
        match name {
            "speed" => Some(&mut self.speed),
            "speed_limit" => Some(&mut self.speed_limit),
            "engine_speed" => Some(&mut self.engine_speed),
            "engine_run_time" => Some(&mut self.engine_run_time),
            "engine_load" => Some(&mut self.engine_load),
            "coolant_temperature" => Some(&mut self.coolant_temperature),
            "oil_temperature" => Some(&mut self.oil_temperature),
            "oil_pressure" => Some(&mut self.oil_pressure),
            "intake_air_temperature" => Some(&mut self.intake_air_temperature),
            "intake_manifold_pressure" => Some(&mut self.intake_manifold_pressure),
            "barometric_pressure" => Some(&mut self.barometric_pressure),
            "mass_air_flow" => Some(&mut self.mass_air_flow),
            "ambient_temperature" => Some(&mut self.ambient_temperature),
            "catalyst_temperature" => Some(&mut self.catalyst_temperature),
            "timing_advance" => Some(&mut self.timing_advance),
            "fuel_trim_short" => Some(&mut self.fuel_trim_short),
            "fuel_trim_long" => Some(&mut self.fuel_trim_long),
            "throttle" => Some(&mut self.throttle),
            "accelerator_pedal" => Some(&mut self.accelerator_pedal),
            "brake_pedal" => Some(&mut self.brake_pedal),
            "fuel_level" => Some(&mut self.fuel_level),
            "fuel_rate" => Some(&mut self.fuel_rate),
            "battery_voltage" => Some(&mut self.battery_voltage),
            "state_of_charge" => Some(&mut self.state_of_charge),
            "tyre_pressure_front_left" => Some(&mut self.tyre_pressure_front_left),
            "tyre_pressure_front_right" => Some(&mut self.tyre_pressure_front_right),
            "tyre_pressure_rear_left" => Some(&mut self.tyre_pressure_rear_left),
            "tyre_pressure_rear_right" => Some(&mut self.tyre_pressure_rear_right),
            "tyre_temperature_front_left" => Some(&mut self.tyre_temperature_front_left),
            "tyre_temperature_front_right" => Some(&mut self.tyre_temperature_front_right),
            "tyre_temperature_rear_left" => Some(&mut self.tyre_temperature_rear_left),
            "tyre_temperature_rear_right" => Some(&mut self.tyre_temperature_rear_right),
            "dtc_count" => Some(&mut self.dtc_count),
            "distance_with_mil" => Some(&mut self.distance_with_mil),
            "run_time_with_mil" => Some(&mut self.run_time_with_mil),
            "time_since_codes_cleared" => Some(&mut self.time_since_codes_cleared),
            "warm_ups_since_codes_cleared" => Some(&mut self.warm_ups_since_codes_cleared),
            "odometer" => Some(&mut self.odometer),
            "trip_distance" => Some(&mut self.trip_distance),
            "latitude" => Some(&mut self.latitude),
            "longitude" => Some(&mut self.longitude),
            "altitude" => Some(&mut self.altitude),
            "heading" => Some(&mut self.heading),
            "horizontal_accuracy" => Some(&mut self.horizontal_accuracy),
            "acceleration_longitudinal" => Some(&mut self.acceleration_longitudinal),
            "acceleration_lateral" => Some(&mut self.acceleration_lateral),
            "acceleration_vertical" => Some(&mut self.acceleration_vertical),
            "yaw_rate" => Some(&mut self.yaw_rate),
            "steering_angle" => Some(&mut self.steering_angle),
            _ => None,
        }
    }

    /// Visits the place of each number, until one errs.
    pub(crate) fn each_number(
        &mut self,
        mut visit: impl FnMut(&'static Field, &mut Option<f64>) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        visit(&FIELDS[0], &mut self.speed)?;
        visit(&FIELDS[1], &mut self.speed_limit)?;
        visit(&FIELDS[2], &mut self.engine_speed)?;
        visit(&FIELDS[3], &mut self.engine_run_time)?;
        visit(&FIELDS[4], &mut self.engine_load)?;
        visit(&FIELDS[5], &mut self.coolant_temperature)?;
        visit(&FIELDS[6], &mut self.oil_temperature)?;
        visit(&FIELDS[7], &mut self.oil_pressure)?;
        visit(&FIELDS[8], &mut self.intake_air_temperature)?;
        visit(&FIELDS[9], &mut self.intake_manifold_pressure)?;
        visit(&FIELDS[10], &mut self.barometric_pressure)?;
        visit(&FIELDS[11], &mut self.mass_air_flow)?;
        visit(&FIELDS[12], &mut self.ambient_temperature)?;
        visit(&FIELDS[13], &mut self.catalyst_temperature)?;
        visit(&FIELDS[14], &mut self.timing_advance)?;
        visit(&FIELDS[15], &mut self.fuel_trim_short)?;
        visit(&FIELDS[16], &mut self.fuel_trim_long)?;
        visit(&FIELDS[17], &mut self.throttle)?;
        visit(&FIELDS[18], &mut self.accelerator_pedal)?;
        visit(&FIELDS[19], &mut self.brake_pedal)?;
        visit(&FIELDS[20], &mut self.fuel_level)?;
        visit(&FIELDS[21], &mut self.fuel_rate)?;
        visit(&FIELDS[22], &mut self.battery_voltage)?;
        visit(&FIELDS[23], &mut self.state_of_charge)?;
        visit(&FIELDS[24], &mut self.tyre_pressure_front_left)?;
        visit(&FIELDS[25], &mut self.tyre_pressure_front_right)?;
        visit(&FIELDS[26], &mut self.tyre_pressure_rear_left)?;
        visit(&FIELDS[27], &mut self.tyre_pressure_rear_right)?;
        visit(&FIELDS[28], &mut self.tyre_temperature_front_left)?;
        visit(&FIELDS[29], &mut self.tyre_temperature_front_right)?;
        visit(&FIELDS[30], &mut self.tyre_temperature_rear_left)?;
        visit(&FIELDS[31], &mut self.tyre_temperature_rear_right)?;
        visit(&FIELDS[34], &mut self.dtc_count)?;
        visit(&FIELDS[35], &mut self.distance_with_mil)?;
        visit(&FIELDS[36], &mut self.run_time_with_mil)?;
        visit(&FIELDS[37], &mut self.time_since_codes_cleared)?;
        visit(&FIELDS[38], &mut self.warm_ups_since_codes_cleared)?;
        visit(&FIELDS[39], &mut self.odometer)?;
        visit(&FIELDS[40], &mut self.trip_distance)?;
        visit(&FIELDS[41], &mut self.latitude)?;
        visit(&FIELDS[42], &mut self.longitude)?;
        visit(&FIELDS[43], &mut self.altitude)?;
        visit(&FIELDS[44], &mut self.heading)?;
        visit(&FIELDS[45], &mut self.horizontal_accuracy)?;
        visit(&FIELDS[46], &mut self.acceleration_longitudinal)?;
        visit(&FIELDS[47], &mut self.acceleration_lateral)?;
        visit(&FIELDS[48], &mut self.acceleration_vertical)?;
        visit(&FIELDS[49], &mut self.yaw_rate)?;
        visit(&FIELDS[50], &mut self.steering_angle)?;
        Ok(())
    }

    /// Visits each list of codes that is there, until one errs.
    pub(crate) fn each_codes(
        &self,
        mut visit: impl FnMut(&'static Field, &[String]) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        if let Some(codes) = &self.dtc_list {
            visit(&FIELDS[33], codes)?;
        }
        Ok(())
    }
}

/// The definition of the field of this name.
pub fn field(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|f| f.name == name)
}

/// Every signal, in the order of schema.yaml.
pub static FIELDS: &[Field] = &[
    Field { name: "speed", vss: "Vehicle.Speed", unit: "km/h", kind: Kind::Number, min: 0.0, max: 400.0, not_available: &[(255.0, 255.0), (254.0, 254.004), (255.99, 256.0)], privacy: Privacy::Behaviour, description: "Speed over ground" },
    Field { name: "speed_limit", vss: "-", unit: "km/h", kind: Kind::Number, min: 5.0, max: 250.0, not_available: &[(0.0, 0.0), (251.0, 255.0)], privacy: Privacy::Location, description: "Speed limit of the road as the vehicle knows it" },
    Field { name: "engine_speed", vss: "Vehicle.Powertrain.CombustionEngine.Speed", unit: "{rpm}", kind: Kind::Number, min: 0.0, max: 16000.0, not_available: &[(8191.873, 8191.877), (16383.748, 16383.752)], privacy: Privacy::Behaviour, description: "Engine speed" },
    Field { name: "engine_run_time", vss: "Vehicle.OBD.RunTime", unit: "s", kind: Kind::Number, min: 0.0, max: 10000000.0, not_available: &[(65535.0, 65535.0)], privacy: Privacy::Vehicle, description: "Time since the engine was started" },
    Field { name: "engine_load", vss: "Vehicle.OBD.EngineLoad", unit: "%", kind: Kind::Number, min: 0.0, max: 100.0, not_available: &[(101.598, 101.60199999999999), (102.0, 102.0), (127.0, 127.0), (127.498, 127.502), (254.0, 254.0), (255.0, 255.0)], privacy: Privacy::Vehicle, description: "Calculated engine load" },
    Field { name: "coolant_temperature", vss: "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature", unit: "Cel", kind: Kind::Number, min: -60.0, max: 200.0, not_available: &[(214.0, 214.0), (215.0, 215.0), (1766.9, 1775.0)], privacy: Privacy::Vehicle, description: "Engine coolant temperature" },
    Field { name: "oil_temperature", vss: "Vehicle.Powertrain.CombustionEngine.EngineOil.Temperature", unit: "Cel", kind: Kind::Number, min: -60.0, max: 200.0, not_available: &[(214.0, 214.0), (215.0, 215.0), (1766.9, 1775.0)], privacy: Privacy::Vehicle, description: "Engine oil temperature" },
    Field { name: "oil_pressure", vss: "Vehicle.Powertrain.CombustionEngine.EOP", unit: "kPa", kind: Kind::Number, min: 0.0, max: 1012.0, not_available: &[(1016.0, 1016.0), (1020.0, 1020.0)], privacy: Privacy::Vehicle, description: "Engine oil pressure" },
    Field { name: "intake_air_temperature", vss: "Vehicle.OBD.IntakeTemp", unit: "Cel", kind: Kind::Number, min: -60.0, max: 200.0, not_available: &[(214.0, 214.0), (215.0, 215.0), (1766.9, 1775.0)], privacy: Privacy::Vehicle, description: "Intake air temperature" },
    Field { name: "intake_manifold_pressure", vss: "Vehicle.Powertrain.CombustionEngine.MAP", unit: "kPa", kind: Kind::Number, min: 0.0, max: 500.0, not_available: &[(255.0, 255.0), (508.0, 508.0), (510.0, 510.0)], privacy: Privacy::Vehicle, description: "Intake manifold absolute pressure" },
    Field { name: "barometric_pressure", vss: "Vehicle.OBD.BarometricPressure", unit: "kPa", kind: Kind::Number, min: 0.0, max: 125.0, not_available: &[(127.0, 127.0), (127.498, 127.502), (255.0, 255.0)], privacy: Privacy::Vehicle, description: "Barometric pressure" },
    Field { name: "mass_air_flow", vss: "Vehicle.Powertrain.CombustionEngine.MAF", unit: "g/s", kind: Kind::Number, min: 0.0, max: 655.0, not_available: &[(655.3480000000001, 655.352), (3276.748, 3276.752)], privacy: Privacy::Vehicle, description: "Mass air flow into the engine" },
    Field { name: "ambient_temperature", vss: "Vehicle.Exterior.AirTemperature", unit: "Cel", kind: Kind::Number, min: -70.0, max: 80.0, not_available: &[(214.0, 214.0), (215.0, 215.0), (1766.9, 1775.0)], privacy: Privacy::Vehicle, description: "Air temperature outside" },
    Field { name: "catalyst_temperature", vss: "Vehicle.OBD.Catalyst.Bank1.Temperature1", unit: "Cel", kind: Kind::Number, min: -60.0, max: 1500.0, not_available: &[(6513.4, 6513.6), (1766.9, 1775.0)], privacy: Privacy::Vehicle, description: "Catalyst temperature, bank 1, sensor 1" },
    Field { name: "timing_advance", vss: "Vehicle.OBD.TimingAdvance", unit: "deg", kind: Kind::Number, min: -64.0, max: 64.0, not_available: &[], privacy: Privacy::Vehicle, description: "Ignition timing advance of cylinder 1" },
    Field { name: "fuel_trim_short", vss: "Vehicle.OBD.ShortTermFuelTrim1", unit: "%", kind: Kind::Number, min: -100.0, max: 100.0, not_available: &[], privacy: Privacy::Vehicle, description: "Short-term fuel trim, bank 1" },
    Field { name: "fuel_trim_long", vss: "Vehicle.OBD.LongTermFuelTrim1", unit: "%", kind: Kind::Number, min: -100.0, max: 100.0, not_available: &[], privacy: Privacy::Vehicle, description: "Long-term fuel trim, bank 1" },
    Field { name: "throttle", vss: "Vehicle.Powertrain.CombustionEngine.TPS", unit: "%", kind: Kind::Number, min: 0.0, max: 100.0, not_available: &[(101.598, 101.60199999999999), (102.0, 102.0), (127.0, 127.0), (127.498, 127.502)], privacy: Privacy::Behaviour, description: "Throttle position" },
    Field { name: "accelerator_pedal", vss: "Vehicle.Chassis.Accelerator.PedalPosition", unit: "%", kind: Kind::Number, min: 0.0, max: 100.0, not_available: &[(101.598, 101.60199999999999), (102.0, 102.0), (127.0, 127.0), (127.498, 127.502)], privacy: Privacy::Behaviour, description: "Accelerator pedal position" },
    Field { name: "brake_pedal", vss: "Vehicle.Chassis.Brake.PedalPosition", unit: "%", kind: Kind::Number, min: 0.0, max: 100.0, not_available: &[(101.598, 101.60199999999999), (102.0, 102.0), (127.0, 127.0), (127.498, 127.502)], privacy: Privacy::Behaviour, description: "Brake pedal position" },
    Field { name: "fuel_level", vss: "Vehicle.Powertrain.FuelSystem.RelativeLevel", unit: "%", kind: Kind::Number, min: 0.0, max: 100.0, not_available: &[(101.598, 101.60199999999999), (102.0, 102.0), (127.0, 127.0), (127.498, 127.502)], privacy: Privacy::Vehicle, description: "Fuel in the tank" },
    Field { name: "fuel_rate", vss: "Vehicle.OBD.FuelRate", unit: "l/h", kind: Kind::Number, min: 0.0, max: 500.0, not_available: &[(3012.7980000000002, 3012.802), (3212.7, 3276.8)], privacy: Privacy::Vehicle, description: "Fuel consumed per hour" },
    Field { name: "battery_voltage", vss: "Vehicle.LowVoltageBattery.CurrentVoltage", unit: "V", kind: Kind::Number, min: 0.0, max: 64.0, not_available: &[(65.533, 65.53699999999999), (3012.7980000000002, 3012.802), (3212.7, 3276.8)], privacy: Privacy::Vehicle, description: "Voltage of the low-voltage battery" },
    Field { name: "state_of_charge", vss: "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed", unit: "%", kind: Kind::Number, min: 0.0, max: 100.0, not_available: &[(101.598, 101.60199999999999), (102.0, 102.0), (127.0, 127.0), (127.498, 127.502)], privacy: Privacy::Vehicle, description: "Charge of the traction battery" },
    Field { name: "tyre_pressure_front_left", vss: "Vehicle.Chassis.Axle.Row1.Wheel.Left.Tire.Pressure", unit: "kPa", kind: Kind::Number, min: 0.0, max: 1200.0, not_available: &[(0.0, 0.0), (389.6, 389.71), (1016.0, 1016.0), (1020.0, 1020.0), (1034.0, 1034.3)], privacy: Privacy::Vehicle, description: "Tyre pressure above ambient, front left" },
    Field { name: "tyre_pressure_front_right", vss: "Vehicle.Chassis.Axle.Row1.Wheel.Right.Tire.Pressure", unit: "kPa", kind: Kind::Number, min: 0.0, max: 1200.0, not_available: &[(0.0, 0.0), (389.6, 389.71), (1016.0, 1016.0), (1020.0, 1020.0), (1034.0, 1034.3)], privacy: Privacy::Vehicle, description: "Tyre pressure above ambient, front right" },
    Field { name: "tyre_pressure_rear_left", vss: "Vehicle.Chassis.Axle.Row2.Wheel.Left.Tire.Pressure", unit: "kPa", kind: Kind::Number, min: 0.0, max: 1200.0, not_available: &[(0.0, 0.0), (389.6, 389.71), (1016.0, 1016.0), (1020.0, 1020.0), (1034.0, 1034.3)], privacy: Privacy::Vehicle, description: "Tyre pressure above ambient, rear left" },
    Field { name: "tyre_pressure_rear_right", vss: "Vehicle.Chassis.Axle.Row2.Wheel.Right.Tire.Pressure", unit: "kPa", kind: Kind::Number, min: 0.0, max: 1200.0, not_available: &[(0.0, 0.0), (389.6, 389.71), (1016.0, 1016.0), (1020.0, 1020.0), (1034.0, 1034.3)], privacy: Privacy::Vehicle, description: "Tyre pressure above ambient, rear right" },
    Field { name: "tyre_temperature_front_left", vss: "Vehicle.Chassis.Axle.Row1.Wheel.Left.Tire.AirTemperature", unit: "Cel", kind: Kind::Number, min: -60.0, max: 150.0, not_available: &[(-50.0, -50.0), (-40.0, -40.0), (205.0, 205.0), (214.0, 214.0), (215.0, 215.0), (1766.9, 1775.0)], privacy: Privacy::Vehicle, description: "Air temperature in the tyre, front left" },
    Field { name: "tyre_temperature_front_right", vss: "Vehicle.Chassis.Axle.Row1.Wheel.Right.Tire.AirTemperature", unit: "Cel", kind: Kind::Number, min: -60.0, max: 150.0, not_available: &[(-50.0, -50.0), (-40.0, -40.0), (205.0, 205.0), (214.0, 214.0), (215.0, 215.0), (1766.9, 1775.0)], privacy: Privacy::Vehicle, description: "Air temperature in the tyre, front right" },
    Field { name: "tyre_temperature_rear_left", vss: "Vehicle.Chassis.Axle.Row2.Wheel.Left.Tire.AirTemperature", unit: "Cel", kind: Kind::Number, min: -60.0, max: 150.0, not_available: &[(-50.0, -50.0), (-40.0, -40.0), (205.0, 205.0), (214.0, 214.0), (215.0, 215.0), (1766.9, 1775.0)], privacy: Privacy::Vehicle, description: "Air temperature in the tyre, rear left" },
    Field { name: "tyre_temperature_rear_right", vss: "Vehicle.Chassis.Axle.Row2.Wheel.Right.Tire.AirTemperature", unit: "Cel", kind: Kind::Number, min: -60.0, max: 150.0, not_available: &[(-50.0, -50.0), (-40.0, -40.0), (205.0, 205.0), (214.0, 214.0), (215.0, 215.0), (1766.9, 1775.0)], privacy: Privacy::Vehicle, description: "Air temperature in the tyre, rear right" },
    Field { name: "mil_on", vss: "Vehicle.OBD.Status.IsMILOn", unit: "1", kind: Kind::Flag, min: 0.0, max: 0.0, not_available: &[], privacy: Privacy::Vehicle, description: "Whether the check-engine lamp is lit" },
    Field { name: "dtc_list", vss: "Vehicle.Diagnostics.DTCList", unit: "1", kind: Kind::Codes, min: 0.0, max: 0.0, not_available: &[], privacy: Privacy::Vehicle, description: "Stored diagnostic trouble codes, SAE J2012 (P0217)" },
    Field { name: "dtc_count", vss: "Vehicle.Diagnostics.DTCCount", unit: "1", kind: Kind::Number, min: 0.0, max: 250.0, not_available: &[(254.0, 254.0), (255.0, 255.0)], privacy: Privacy::Vehicle, description: "Number of stored diagnostic trouble codes" },
    Field { name: "distance_with_mil", vss: "Vehicle.OBD.DistanceWithMIL", unit: "km", kind: Kind::Number, min: 0.0, max: 65534.0, not_available: &[(65535.0, 65535.0)], privacy: Privacy::Vehicle, description: "Distance driven with the check-engine lamp lit" },
    Field { name: "run_time_with_mil", vss: "Vehicle.OBD.RunTimeMIL", unit: "min", kind: Kind::Number, min: 0.0, max: 65534.0, not_available: &[(65535.0, 65535.0)], privacy: Privacy::Vehicle, description: "Engine run time with the check-engine lamp lit" },
    Field { name: "time_since_codes_cleared", vss: "Vehicle.OBD.TimeSinceDTCCleared", unit: "min", kind: Kind::Number, min: 0.0, max: 65534.0, not_available: &[(65535.0, 65535.0)], privacy: Privacy::Vehicle, description: "Engine run time since trouble codes were cleared" },
    Field { name: "warm_ups_since_codes_cleared", vss: "Vehicle.OBD.WarmupsSinceDTCClear", unit: "1", kind: Kind::Number, min: 0.0, max: 255.0, not_available: &[], privacy: Privacy::Vehicle, description: "Warm-ups since trouble codes were cleared, saturates at 255" },
    Field { name: "odometer", vss: "Vehicle.TraveledDistance", unit: "m", kind: Kind::Number, min: 0.0, max: 10000000000.0, not_available: &[(21474836475.0, 21474836475.0), (536870911875.0, 536870911875.0)], privacy: Privacy::Vehicle, description: "Distance travelled in the life of the vehicle" },
    Field { name: "trip_distance", vss: "Vehicle.TraveledDistanceSinceStart", unit: "m", kind: Kind::Number, min: 0.0, max: 1000000000.0, not_available: &[], privacy: Privacy::Behaviour, description: "Distance travelled since the start of the trip" },
    Field { name: "latitude", vss: "Vehicle.CurrentLocation.Latitude", unit: "deg", kind: Kind::Number, min: -90.0, max: 90.0, not_available: &[(219.49, 219.5)], privacy: Privacy::Location, description: "Latitude, WGS 84" },
    Field { name: "longitude", vss: "Vehicle.CurrentLocation.Longitude", unit: "deg", kind: Kind::Number, min: -180.0, max: 180.0, not_available: &[(219.49, 219.5)], privacy: Privacy::Location, description: "Longitude, WGS 84" },
    Field { name: "altitude", vss: "Vehicle.CurrentLocation.Altitude", unit: "m", kind: Kind::Number, min: -500.0, max: 9000.0, not_available: &[], privacy: Privacy::Location, description: "Height above sea level" },
    Field { name: "heading", vss: "Vehicle.CurrentLocation.Heading", unit: "deg", kind: Kind::Number, min: 0.0, max: 360.0, not_available: &[(509.9, 512.0)], privacy: Privacy::Location, description: "Heading, 0 is north, clockwise" },
    Field { name: "horizontal_accuracy", vss: "Vehicle.CurrentLocation.HorizontalAccuracy", unit: "m", kind: Kind::Number, min: 0.0, max: 100000.0, not_available: &[], privacy: Privacy::Location, description: "Accuracy of latitude and longitude" },
    Field { name: "acceleration_longitudinal", vss: "Vehicle.Acceleration.Longitudinal", unit: "m/s2", kind: Kind::Number, min: -50.0, max: 50.0, not_available: &[], privacy: Privacy::Behaviour, description: "Acceleration forward, ISO 8855" },
    Field { name: "acceleration_lateral", vss: "Vehicle.Acceleration.Lateral", unit: "m/s2", kind: Kind::Number, min: -50.0, max: 50.0, not_available: &[], privacy: Privacy::Behaviour, description: "Acceleration to the left, ISO 8855" },
    Field { name: "acceleration_vertical", vss: "Vehicle.Acceleration.Vertical", unit: "m/s2", kind: Kind::Number, min: -50.0, max: 50.0, not_available: &[], privacy: Privacy::Behaviour, description: "Acceleration upward, ISO 8855" },
    Field { name: "yaw_rate", vss: "Vehicle.AngularVelocity.Yaw", unit: "deg/s", kind: Kind::Number, min: -360.0, max: 360.0, not_available: &[], privacy: Privacy::Behaviour, description: "Turn rate about the vertical axis, left positive" },
    Field { name: "steering_angle", vss: "Vehicle.Chassis.SteeringWheel.Angle", unit: "deg", kind: Kind::Number, min: -2000.0, max: 2000.0, not_available: &[], privacy: Privacy::Behaviour, description: "Steering wheel angle, left positive" },
];
