//! The air in a tyre: warmed by driving, its pressure by the gas law.

/// Pressure of the air outside, kPa.
const ATMOSPHERE: f64 = 101.325;
const KELVIN: f64 = 273.15;
/// The temperature at which tyres are filled, °C.
pub(crate) const FILLED_AT: f64 = 20.0;
/// How much warmer than outside the air gets in the long run, K for each km/h.
const HEATING: f64 = 0.2;
/// How fast it gets there, s.
const INERTIA: f64 = 900.0;
/// What a sensor tells apart: 0.2 psi and 1 °C.
pub(crate) const RESOLUTION: (f64, f64) = (1.379, 1.0);

/// One tyre.
#[derive(Debug, Clone)]
pub(crate) struct Tyre {
    /// Pressure above ambient at [`FILLED_AT`], kPa.
    pub cold: f64,
    /// Temperature of its air, °C.
    pub air: f64,
}

impl Tyre {
    /// So much time at a speed (km/h).
    pub fn drive(&mut self, seconds: f64, speed: f64, ambient: f64) {
        let towards = ambient + HEATING * speed;
        self.air += (towards - self.air) * (1.0 - (-seconds / INERTIA).exp());
    }

    /// Pressure above ambient, kPa.
    pub fn pressure(&self) -> f64 {
        (self.cold + ATMOSPHERE) * (self.air + KELVIN) / (FILLED_AT + KELVIN) - ATMOSPHERE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn driving_warms_and_warmth_presses() {
        let mut tyre = Tyre {
            cold: 230.0,
            air: 20.0,
        };
        assert!((tyre.pressure() - 230.0).abs() < 1e-9);
        for _ in 0..3600 {
            tyre.drive(1.0, 100.0, 20.0);
        }
        assert!((39.0..40.0).contains(&tyre.air), "{}", tyre.air);
        // 20 K of 293 K on 331 kPa.
        assert!(
            (251.0..253.0).contains(&tyre.pressure()),
            "{}",
            tyre.pressure()
        );
    }
}
