//! The people of the demo: an admin, two doctors, the front desk, and 24 patients with what is
//! special about each.

use std::collections::BTreeSet;

use super::dice::Dice;
use crate::auth::Secret;
use crate::domain::account::{Email, Username};
use crate::domain::actor::Role;
use crate::domain::patient::{Dni, NewPatient};
use crate::domain::text::Invalid;

/// How many patients there are.
pub(super) const PATIENTS: usize = PROFILES.len();
/// How many of them, the first, wear a sensor.
pub(super) const SENSORS: usize = 6;
/// Days before today on which the staff was registered.
pub(super) const FOUNDED: i64 = 180;
/// The patient whose account is blocked, and the day before today when that happened.
pub(super) const BLOCKED: (usize, i64) = (21, 40);
/// The patient who must choose another password.
pub(super) const RESET: usize = 22;

/// A patient before names are given. Days count backwards from today.
pub(super) struct Profile {
    /// When they were registered. Descending, so that row ids follow.
    pub(super) registered: i64,
    /// Birth decides the millions of the DNI.
    dni_millions: i64,
    /// Finger-stick readings, for those without a sensor.
    pub(super) sticks: Option<Sticks>,
    /// What the table of log-ins says.
    remark: &'static str,
}

/// How a patient measures.
pub(super) struct Sticks {
    /// First and last day.
    pub(super) days: (i64, i64),
    /// Fewest and most readings a day.
    pub(super) a_day: (i64, i64),
    /// How many in 100 days pass without any.
    pub(super) lapses: i64,
}

const fn sensor(registered: i64, dni_millions: i64) -> Profile {
    Profile {
        registered,
        dni_millions,
        sticks: None,
        remark: "14 days of sensor and meals",
    }
}

const fn sticks(
    registered: i64,
    dni_millions: i64,
    days: (i64, i64),
    a_day: (i64, i64),
    lapses: i64,
    remark: &'static str,
) -> Profile {
    Profile {
        registered,
        dni_millions,
        sticks: Some(Sticks {
            days,
            a_day,
            lapses,
        }),
        remark,
    }
}

/// Two adults, two adolescents and two children wear a sensor, as in the traces.
pub(super) static PROFILES: [Profile; 24] = [
    sensor(176, 31),
    sensor(174, 27),
    sensor(172, 50),
    sensor(170, 51),
    sensor(168, 58),
    sensor(166, 57),
    sticks(164, 24, (60, 1), (5, 6), 0, "60 days in a row"),
    sticks(162, 35, (30, 1), (4, 4), 0, "30 days in a row"),
    sticks(160, 42, (12, 1), (6, 6), 0, "12 days in a row"),
    sticks(158, 18, (26, 6), (4, 6), 0, "stopped 5 days ago"),
    sticks(156, 29, (42, 1), (2, 4), 10, ""),
    sticks(154, 33, (35, 1), (2, 3), 15, ""),
    sticks(152, 46, (28, 1), (3, 5), 8, ""),
    sticks(150, 22, (49, 1), (2, 4), 12, ""),
    sticks(148, 38, (21, 1), (2, 3), 20, ""),
    sticks(146, 14, (56, 1), (2, 2), 5, ""),
    sticks(144, 40, (24, 1), (3, 4), 10, ""),
    sticks(142, 26, (30, 1), (2, 4), 15, ""),
    sticks(140, 53, (18, 1), (4, 6), 5, ""),
    sticks(138, 20, (20, 1), (2, 3), 10, ""),
    sticks(136, 36, (16, 1), (3, 6), 10, ""),
    sticks(134, 30, (75, 45), (2, 4), 10, "blocked"),
    sticks(15, 44, (14, 1), (2, 4), 10, "must choose a password"),
    Profile {
        registered: 2,
        dni_millions: 47,
        sticks: None,
        remark: "new: no readings",
    },
];

const NAMES: [&str; 32] = [
    "María José",
    "Joaquín",
    "Lucía",
    "Agustín",
    "Sofía",
    "Tomás",
    "Belén",
    "Martín",
    "Rocío",
    "Nicolás",
    "Inés",
    "Sebastián",
    "Noelia",
    "Hernán",
    "Camila",
    "Germán",
    "Ángela",
    "Matías",
    "Begoña",
    "Ramón",
    "Julieta",
    "Iñaki",
    "Mónica",
    "Valentín",
    "Ana Clara",
    "Facundo",
    "Graciela",
    "Raúl",
    "Antonella",
    "Lisandro",
    "Yamila",
    "Óscar",
];
const SURNAMES: [&str; 34] = [
    "Núñez",
    "Ibáñez",
    "Muñoz",
    "Peña",
    "Giménez",
    "Quiroga",
    "Bustamante",
    "Acuña",
    "Ledesma",
    "Ñancupil",
    "Cabrera",
    "Zárate",
    "Maldonado",
    "Fernández",
    "Villalba",
    "Ojeda",
    "Castaño",
    "Figueroa",
    "Benítez",
    "Luján",
    "Rivarola",
    "Farías",
    "Godoy",
    "Domínguez",
    "Huenchul",
    "Sánchez",
    "Ávila",
    "Peralta",
    "Ocaña",
    "Toledo",
    "Ferreyra",
    "Barrios",
    "Sosa",
    "Cáceres",
];
const MAIL_DOMAINS: [&str; 3] = ["example.org", "correo.example.org", "mail.example.net"];

/// Somebody who works here.
pub(super) struct Worker {
    pub(super) username: Username,
    pub(super) email: Email,
    pub(super) role: Role,
}

/// Everybody, with the passwords.
pub(super) struct People {
    /// Admin, two doctors, front desk.
    pub(super) staff: [Worker; 4],
    pub(super) staff_passwords: [Secret; 4],
    pub(super) patients: Vec<NewPatient>,
    pub(super) patient_password: Secret,
}

/// A log-in of the demo.
#[derive(Clone, Debug)]
pub struct Login {
    /// DNI of a patient, user name of staff.
    pub name: String,
    /// Who it is.
    pub person: String,
    /// The password that it was made with.
    pub password: Secret,
    /// What they may do.
    pub role: Role,
    /// What is special.
    pub remark: &'static str,
}

/// The people of a seed.
///
/// # Errors
/// When a value here is one that the domain refuses: a mistake of ours.
pub(super) fn people(seed: u64) -> Result<People, Invalid> {
    let mut dice = Dice::new(seed, "people", 0);
    let (mut names, mut surnames) = (NAMES, SURNAMES);
    dice.shuffle(&mut names);
    dice.shuffle(&mut surnames);
    let doctor = |title: &str, surname: &str| format!("{title}.{}", ascii(surname));
    let [her, him, families @ ..] = &surnames;
    let staff = [
        worker("direccion", Role::Admin)?,
        worker(&doctor("dra", her), Role::Staff)?,
        worker(&doctor("dr", him), Role::Staff)?,
        worker("recepcion", Role::Staff)?,
    ];
    let mut dnis = BTreeSet::new();
    let mut patients = Vec::with_capacity(PATIENTS);
    for (index, profile) in PROFILES.iter().enumerate() {
        let dni = loop {
            let dni = profile.dni_millions * 1_000_000 + dice.between(100_000, 999_999);
            if dnis.insert(dni) {
                break dni.to_string();
            }
        };
        let (name, surname) = (names[index], families[index]);
        let domain = dice.pick(&MAIL_DOMAINS);
        let email = format!("{}.{}@{domain}", ascii(name), ascii(surname));
        let account = 10_000 + index as i64 * 731 + dice.between(0, 700);
        patients.push(NewPatient {
            dni: Dni::parse(&dni)?,
            name: name.to_owned(),
            surname: surname.to_owned(),
            email: Email::parse(&email)?,
            tidepool: (index < SENSORS).then_some(email),
            hospital_account: format!("HC-{account}"),
            blocked: false,
            former_times_measured: 0,
            former_max_streak: 0,
        });
    }
    let mut dice = Dice::new(seed, "passwords", 0);
    let mut password = |who: &str| Secret::new(format!("demo-{who}-{}", dice.word(8)));
    let medical = password("medica");
    Ok(People {
        staff,
        staff_passwords: [
            password("direccion"),
            medical.clone(),
            medical,
            password("recepcion"),
        ],
        patients,
        patient_password: password("paciente"),
    })
}

fn worker(username: &str, role: Role) -> Result<Worker, Invalid> {
    Ok(Worker {
        username: Username::parse(username)?,
        email: Email::parse(&format!("{username}@clinica.example.org"))?,
        role,
    })
}

/// The log-ins of the demo with this seed, staff first.
///
/// # Errors
/// As for `people`.
pub(super) fn logins(seed: u64) -> Result<Vec<Login>, Invalid> {
    let people = people(seed)?;
    let remarks = ["manages staff", "doctor", "doctor", "front desk"];
    let staff = people.staff.iter().zip(people.staff_passwords);
    let mut all: Vec<Login> = staff
        .zip(remarks)
        .map(|((worker, password), remark)| Login {
            name: worker.username.as_str().to_owned(),
            person: worker.email.as_str().to_owned(),
            password,
            role: worker.role,
            remark,
        })
        .collect();
    let patients = people.patients.iter().zip(&PROFILES);
    all.extend(patients.map(|(patient, profile)| Login {
        name: patient.dni.as_str().to_owned(),
        person: format!("{} {}", patient.name, patient.surname),
        password: people.patient_password.clone(),
        role: Role::Patient,
        remark: profile.remark,
    }));
    Ok(all)
}

/// A name as it stands in an address: lower case, without accents and spaces.
fn ascii(name: &str) -> String {
    name.to_lowercase()
        .chars()
        .map(|c| match c {
            'á' => 'a',
            'é' => 'e',
            'í' => 'i',
            'ó' => 'o',
            'ú' | 'ü' => 'u',
            'ñ' => 'n',
            ' ' => '_',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_gives_people_with_different_names_and_numbers() {
        for seed in 0..200 {
            let people = people(seed).unwrap();
            let names: BTreeSet<_> = people.patients.iter().map(|it| &it.surname).collect();
            let emails: BTreeSet<_> = people.patients.iter().map(|it| it.email.as_str()).collect();
            let accounts: BTreeSet<_> = people
                .patients
                .iter()
                .map(|it| &it.hospital_account)
                .collect();
            assert_eq!(
                (names.len(), emails.len(), accounts.len()),
                (24, 24, 24),
                "seed {seed}"
            );
            for patient in &people.patients {
                assert_eq!(patient.dni.as_str().len(), 8);
                assert!(patient.email.as_str().is_ascii(), "{:?}", patient.email);
            }
        }
    }

    #[test]
    fn registrations_go_forward_in_time_and_before_readings() {
        let days: Vec<_> = PROFILES.iter().map(|profile| profile.registered).collect();
        assert!(
            days.is_sorted_by(|a, b| a > b) && days[0] < FOUNDED,
            "{days:?}"
        );
        for profile in &PROFILES {
            let first = profile.sticks.as_ref().map_or(0, |sticks| sticks.days.0);
            assert!(first < profile.registered);
        }
    }

    #[test]
    fn passwords_are_acceptable_and_depend_on_the_seed() {
        use crate::auth::password::PasswordPolicy;
        for login in logins(7).unwrap() {
            let policy = match login.role {
                Role::Patient => PasswordPolicy::PATIENT,
                _ => PasswordPolicy::STAFF,
            };
            assert_eq!(policy.check(&login.password, &[&login.name]), Ok(()));
        }
        let first = |seed| logins(seed).unwrap()[0].password.expose().to_owned();
        assert_ne!(first(7), first(8));
    }
}
