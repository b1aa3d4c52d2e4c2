//! Clinics whose cards are copied and put back at any moment: seeds play out what nobody thinks of.

use super::*;
use crate::auth::RandomError;
use crate::service::queue;

/// Steps of one clinic.
const STEPS: u32 = 60;
/// Clinics; `ISLET_FORK_SEEDS` plays more, and `ISLET_FORK_SEED` one again.
const SEEDS: u64 = 6;

/// SplitMix64 (Steele et al., OOPSLA 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }
}

impl Random for std::sync::Mutex<Dice> {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        let mut dice = self.lock().unwrap();
        bytes.fill_with(|| u8::try_from(dice.below(256)).unwrap());
        Ok(())
    }
}

struct Play {
    net: Network,
    dice: Dice,
    doctor: Actor,
    /// Nodes that run from one directory: they never speak with each other.
    twins: Option<[usize; 2]>,
    images: Vec<(usize, tempfile::TempDir)>,
    /// Readings that were answered, by their value.
    answered: Vec<f64>,
}

impl Play {
    async fn new(seed: u64) -> Self {
        let mut net = Network::of(3).await;
        net.random = Arc::new(std::sync::Mutex::new(Dice(!seed)));
        for node in &mut net.nodes {
            Arc::get_mut(node).unwrap().random = Arc::clone(&net.random);
        }
        let doctor = staff(&net.nodes[0], "dra.paz").await;
        queue::resize(&net.nodes[0], &doctor, 5).await.unwrap();
        queue::open(&net.nodes[0], &doctor).await.unwrap();
        patient(&net.nodes[0], 30_000_000).await;
        net.heal().await;
        Self {
            net,
            dice: Dice(seed),
            doctor,
            twins: None,
            images: Vec::new(),
            answered: Vec::new(),
        }
    }

    /// Some row of a table at a node, if there is one.
    async fn some(&mut self, at: usize, table: &'static str) -> Option<i64> {
        let skip = i64::try_from(self.dice.below(7)).unwrap();
        let sql = format!("SELECT id FROM {table} ORDER BY id DESC LIMIT 7");
        let ids = self.net.nodes[at].store.read(move |tx| {
            let mut statement = tx.connection().prepare(&sql)?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok::<_, StoreError>(rows.collect::<Result<Vec<i64>, _>>()?)
        });
        let ids = ids.await.unwrap();
        let at = usize::try_from(skip).unwrap() % ids.len().max(1);
        ids.get(at).copied()
    }

    async fn some_patient(&mut self, at: usize) -> Actor {
        let id = self.some(at, "patient").await.unwrap();
        actor(Who::Patient(id))
    }

    async fn step(&mut self) {
        let now = self.net.clock.now().0;
        self.net
            .clock
            .set(Timestamp(now + 1_000 * self.dice.below(90) as i64));
        let at = self.dice.below(self.net.nodes.len());
        let node = Arc::clone(&self.net.nodes[at]);
        match self.dice.below(20) {
            0..=5 => {
                let patient = self.some_patient(at).await;
                let value = 40.0 + 0.5 * self.answered.len() as f64;
                reading(&node, &patient, value, self.net.clock.now()).await;
                self.answered.push(value);
            }
            6 => {
                let dni = 30_000_000 + u32::try_from(self.dice.below(20)).unwrap();
                let sql = "SELECT count(*) FROM patient WHERE dni = ?";
                let known = node.store.read(move |tx| {
                    let count = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
                    Ok::<_, StoreError>(tx.connection().query_row(sql, [dni.to_string()], count)?)
                });
                if known.await.unwrap() == 0 {
                    patient(&node, dni).await;
                }
            }
            7 => {
                if let Some(id) = self.some(at, "reading").await {
                    correct(&node, id, 600.0 + self.dice.below(9) as f64).await;
                }
            }
            8..=9 => {
                let patient = self.some_patient(at).await;
                let _ = queue::submit(&node, &patient).await;
            }
            10 => {
                let patient = self.some_patient(at).await;
                let _ = queue::cancel(&node, &patient).await;
            }
            11 => {
                let _ = queue::open(&node, &self.doctor).await;
            }
            12 => self.net.heal_once(self.twins).await,
            13 if self.twins.is_none() && at != 1 => {
                drop(node);
                self.twins = Some([at, self.net.clone_node(at).await]);
            }
            14 if self.images.len() < 2 && at < 3 => {
                drop(node);
                let image = self.net.image(at).await;
                self.images.push((at, image));
            }
            15 => {
                drop(node);
                if let Some((at, image)) = self.images.pop() {
                    // What nobody else has is gone with the card.
                    self.net.heal_once(self.twins).await;
                    self.net.heal_once(self.twins).await;
                    self.net.put_back(at, &image).await;
                }
            }
            _ => {
                let from = self.dice.below(self.net.nodes.len());
                let apart = self
                    .twins
                    .is_some_and(|it| it.contains(&at) && it.contains(&from));
                if from != at && !apart {
                    pull(&node, &self.net.nodes[from]).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn whatever_is_copied_and_put_back_all_nodes_agree_and_nothing_is_lost() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let one = number("ISLET_FORK_SEED");
    let seeds = one.map_or(0..number("ISLET_FORK_SEEDS").unwrap_or(SEEDS), |seed| {
        seed..seed + 1
    });
    for seed in seeds {
        let mut play = Play::new(seed).await;
        for _ in 0..STEPS {
            play.step().await;
        }
        println!("seed {seed}");
        let apart = play.twins.unwrap_or([usize::MAX; 2]);
        play.net.heal_but(apart).await;
        play.net.assert_agreed().await;
        let sql = "SELECT coalesce(o.glucose_mg_dl, r.glucose_mg_dl) FROM reading r
                   LEFT JOIN reading_origin o ON o.reading_id = r.id ORDER BY 1";
        let made = play.net.nodes[0].store.read(move |tx| {
            let mut statement = tx.connection().prepare(sql)?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok::<_, StoreError>(rows.collect::<Result<Vec<f64>, _>>()?)
        });
        play.answered.sort_by(f64::total_cmp);
        assert_eq!(made.await.unwrap(), play.answered);
    }
}
