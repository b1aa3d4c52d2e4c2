//! What patients fill in before an appointment, and what doctors answer.

use super::dice::Dice;
use super::people::SENSORS;
use crate::domain::appointment::{Form, MOTIVES, Resolution};

const BASAL: [&str; 4] = ["Lantus", "Toujeo", "Tresiba", "Levemir"];
const FAST: [&str; 4] = ["Humalog", "NovoRapid", "Apidra", "Fiasp"];
const BASAL_TIMES: [&str; 3] = ["08:00", "21:00", "22:00"];
const OTHER_TREATMENTS: [&str; 3] = [
    "Metformina 850 mg con el almuerzo y la cena",
    "Levotiroxina 75 mcg en ayunas",
    "Enalapril 10 mg por la mañana",
];
const OTHER_MOTIVES: [&str; 4] = [
    "Cambio de turno de trabajo",
    "Viaje el mes que viene, quiero ajustar horarios",
    "Empecé a entrenar tres veces por semana",
    "Necesito la receta y el certificado para la obra social",
];

/// The treatment that one patient is on; the same at each visit, but for what was changed.
struct Treatment {
    basal: &'static str,
    fast: &'static str,
    dose: f64,
    ratio: f64,
    sensitivity: f64,
    pump: bool,
}

fn treatment(seed: u64, patient: usize) -> Treatment {
    let mut dice = Dice::new(seed, "treatment", patient);
    // The last two wearers of a sensor are children: less insulin, which does more.
    let child = (SENSORS - 2..SENSORS).contains(&patient);
    let (dose, ratio, sensitivity) = if child {
        ((5, 12), (15, 25), (80, 120))
    } else {
        ((14, 34), (8, 16), (30, 60))
    };
    let mut whole = |(low, high)| dice.between(low, high) as f64;
    let (dose, ratio, sensitivity) = (whole(dose), whole(ratio), whole(sensitivity));
    Treatment {
        basal: dice.pick(&BASAL),
        fast: dice.pick(&FAST),
        dose,
        ratio,
        sensitivity,
        pump: patient < SENSORS && dice.chance(30),
    }
}

/// The form of a patient's visit number `visit`, from 0.
pub(super) fn form(seed: u64, patient: usize, visit: usize) -> Form {
    let on = treatment(seed, patient);
    let mut dice = Dice::new(seed, "form", patient * 100 + visit);
    let (first, second) = (dice.pick(&MOTIVES), dice.pick(&MOTIVES));
    let two = dice.chance(35);
    // In the order of the app, each once.
    let motives: Vec<String> = MOTIVES
        .into_iter()
        .filter(|motive| *motive == first || (two && *motive == second))
        .map(str::to_owned)
        .collect();
    let other = motives.iter().any(|motive| motive == "OTRO");
    let control = dice.between(1_000, 9_999);
    Form {
        glucose_objective: dice.pick(&[100.0, 110.0, 120.0]),
        insulin_type: dice.pick(&["slow", "slow", "mixed"]).to_owned(),
        dose: on.dose + visit as f64,
        fast_insulin: on.fast.to_owned(),
        fixed_dose: dice.between(2, 8) as f64,
        ratio: on.ratio,
        sensitivity: on.sensitivity,
        pump_type: if on.pump { "pump" } else { "pen" }.to_owned(),
        control_data: if dice.chance(40) {
            format!("https://controles.example.org/{control}.pdf")
        } else {
            String::new()
        },
        motives,
        another_treatment: dice
            .chance(30)
            .then(|| dice.pick(&OTHER_TREATMENTS).to_owned()),
        other_motive: other.then(|| dice.pick(&OTHER_MOTIVES).to_owned()),
    }
}

/// What a doctor answers to that form, which was stored as `appointment_id`.
pub(super) fn resolution(
    seed: u64,
    patient: usize,
    visit: usize,
    form: &Form,
    appointment_id: i64,
) -> Resolution {
    let on = treatment(seed, patient);
    let mut dice = Dice::new(seed, "resolution", patient * 100 + visit);
    let asks = |motive: &str| form.motives.iter().any(|it| it == motive);
    let (dose, ratio, sensitivity) = if asks("HIPOGLUCEMIA") {
        (-2.0, 2.0, 5.0)
    } else if asks("HIPERGLUCEMIA") || asks("CETOSIS") {
        (2.0, -1.0, -5.0)
    } else {
        (1.0, 0.0, 0.0)
    };
    // Questions are answered without a change.
    let changes = form.motives.iter().any(|it| it != "DUDAS" && it != "OTRO");
    let objective = form.glucose_objective as i64;
    let scale = format!(
        "[[{},{},1],[{},{},2],[{},{},4],[{},{},6]]",
        objective + 30,
        objective + 80,
        objective + 81,
        objective + 130,
        objective + 131,
        objective + 200,
        objective + 201,
        600,
    );
    Resolution {
        appointment_id,
        change_basal_type: changes.then(|| on.basal.to_owned()),
        change_basal_dose: changes.then_some((form.dose + dose).max(2.0)),
        change_basal_time: changes.then(|| dice.pick(&BASAL_TIMES).to_owned()),
        change_fast_type: changes.then(|| form.fast_insulin.clone()),
        change_ratio: changes.then_some(form.ratio + ratio),
        change_sensitivity: changes.then_some(form.sensitivity + sensitivity),
        emergency_care: asks("CETOSIS") && dice.chance(50),
        needed_physical_appointment: dice.chance(35),
        glucose_scale: (changes || dice.chance(50)).then_some(scale),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_answers_are_what_the_app_knows() {
        for (seed, patient, visit) in (0..2_000).map(|n| (n / 100, n as usize % 24, n as usize % 4))
        {
            let form = form(seed, patient, visit);
            assert!(!form.motives.is_empty());
            assert!(form.motives.iter().all(|it| MOTIVES.contains(&it.as_str())));
            let other = form.motives.iter().any(|it| it == "OTRO");
            assert_eq!(form.other_motive.is_some(), other);
            let answer = resolution(seed, patient, visit, &form, 5);
            assert!(answer.change_ratio.is_none_or(|ratio| ratio > 0.0));
            assert!(answer.change_sensitivity.is_none_or(|it| it > 0.0));
            assert!(!answer.emergency_care || form.motives.iter().any(|it| it == "CETOSIS"));
            if let Some(scale) = answer.glucose_scale {
                let scale: Vec<[i64; 3]> = serde_json::from_str(&scale).unwrap();
                assert!(scale.iter().all(|[low, high, _]| low < high));
            }
        }
    }
}
