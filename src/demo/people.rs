//! The people of the demo: an admin, two doctors, the front desk, and 24 patients.

use super::{DemoError, Loader, staff};
use crate::auth::Secret;
use crate::domain::account::{Email, Username};
use crate::domain::actor::Role;
use crate::domain::patient::{Dni, NewPatient, PatientPatch};
use crate::service::{self, patients};

const STAFF: [(&str, Role); 4] = [
    ("admin.demo", Role::Admin),
    ("dra.ferreyra", Role::Staff),
    ("dr.nunez", Role::Staff),
    ("recepcion", Role::Staff),
];
const NAMES: [&str; 24] = [
    "Ana",
    "Bruno",
    "Camila",
    "Diego",
    "Eugenia",
    "Facundo",
    "Gabriela",
    "Hernán",
    "Inés",
    "Joaquín",
    "Karina",
    "Leandro",
    "Mónica",
    "Nicolás",
    "Olga",
    "Pablo",
    "Quimey",
    "Rocío",
    "Sebastián",
    "Teresa",
    "Úrsula",
    "Valentín",
    "Ximena",
    "Yamila",
];
const SURNAMES: [&str; 24] = [
    "Paz",
    "Ibáñez",
    "Quiroga",
    "Sosa",
    "Muñoz",
    "Giménez",
    "Ledesma",
    "Peralta",
    "Ávila",
    "Cabrera",
    "Núñez",
    "Ojeda",
    "Villalba",
    "Acuña",
    "Maldonado",
    "Figueroa",
    "Huenchul",
    "Barrios",
    "Luján",
    "Zárate",
    "Godoy",
    "Rivarola",
    "Benítez",
    "Farías",
];
/// The position of the patient whose account is blocked.
const BLOCKED: usize = 23;

/// A log-in of the demo.
#[derive(Clone, Debug)]
pub struct Login {
    /// DNI of a patient, user name of staff.
    pub name: String,
    /// Who it is.
    pub person: String,
    /// Printed, since nothing here is secret.
    pub password: String,
    /// What they may do.
    pub role: Role,
    /// Whether the account is blocked.
    pub blocked: bool,
}

/// The log-ins of the demo with this seed.
#[must_use]
pub fn logins(seed: u64) -> Vec<Login> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut all: Vec<Login> = STAFF
        .iter()
        .map(|(name, role)| Login {
            name: (*name).to_owned(),
            person: (*name).to_owned(),
            password: format!("clinica-demo-{:04}", random.u32(1_000..10_000)),
            role: *role,
            blocked: false,
        })
        .collect();
    all.extend(
        NAMES
            .iter()
            .zip(SURNAMES)
            .enumerate()
            .map(|(index, (name, surname))| Login {
                name: (25_000_000 + index as u32 * 613_000 + random.u32(0..600_000)).to_string(),
                person: format!("{name} {surname}"),
                password: format!("demo-{:04}", random.u32(1_000..10_000)),
                role: Role::Patient,
                blocked: index == BLOCKED,
            }),
    );
    all
}

impl Loader<'_> {
    /// Registers everyone and answers with the row ids of the patients.
    pub(super) async fn register_everyone(&mut self) -> Result<Vec<i64>, DemoError> {
        let (people, staff_logins): (Vec<_>, Vec<_>) = logins(self.plan.seed)
            .into_iter()
            .partition(|login| login.role == Role::Patient);
        for login in staff_logins {
            let username = Username::parse(&login.name)?;
            let email = Email::parse(&format!("{}@clinica.example.org", login.name))?;
            let password = Secret::new(login.password);
            let (operator, role) = (crate::domain::actor::Actor::operator(), login.role);
            let made = service::staff::register(
                self.app, &operator, username, email, password, role, None,
            )
            .await?;
            match login.name.as_str() {
                "admin.demo" => self.admin = staff(made.id, role),
                "dra.ferreyra" => self.doctor = staff(made.id, role),
                _ => {}
            }
        }
        let mut ids = Vec::with_capacity(people.len());
        for (index, login) in people.iter().enumerate() {
            ids.push(self.register(index, login).await?);
        }
        Ok(ids)
    }

    async fn register(&self, index: usize, login: &Login) -> Result<i64, DemoError> {
        let new = NewPatient {
            dni: Dni::parse(&login.name)?,
            name: NAMES[index].to_owned(),
            surname: SURNAMES[index].to_owned(),
            email: Email::parse(&format!("paciente{}@example.org", index + 1))?,
            tidepool: None,
            hospital_account: format!("HC-{:04}", 1_200 + index),
            blocked: false,
            former_times_measured: 0,
            former_max_streak: 0,
        };
        let password = Secret::new(login.password.clone());
        let id = patients::register(self.app, &self.admin, new, password, None)
            .await?
            .id;
        if login.blocked {
            let patch = PatientPatch {
                blocked: Some(true),
                ..PatientPatch::default()
            };
            patients::edit(self.app, &self.admin, id, patch).await?;
        }
        Ok(id)
    }
}
