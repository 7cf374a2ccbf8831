//! Sessions: one user for some minutes, and what happens to her there.
//!
//! A session has a random stream of its own: what it does depends on the seed and its
//! number, not on the sessions around it.

use super::random::{Random, Skew, Zipf, mix};
use crate::time::Millis;

pub const CATEGORIES: [&str; 20] = [
    "sports",
    "books",
    "fashion",
    "electronics",
    "beauty",
    "toys",
    "travel",
    "food",
    "home",
    "garden",
    "music",
    "movies",
    "games",
    "health",
    "pets",
    "cars",
    "office",
    "baby",
    "jewelry",
    "art",
];
/// Items of one category.
const ITEMS: u64 = 20_000;
const CAMPAIGNS: u64 = 40;
/// Events of one session at most.
pub const LENGTH_MAX: u32 = 60;
/// Events of one session on average, unless asked otherwise.
pub const LENGTH_MEAN: u32 = 8;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Login,
    Impression,
    Click,
    View,
    AddCart,
    Purchase,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Login => "login",
            Kind::Impression => "impression",
            Kind::Click => "click",
            Kind::View => "view",
            Kind::AddCart => "add_cart",
            Kind::Purchase => "purchase",
        }
    }

    /// What may follow, in percent: the rest of the hundred is the last one.
    fn next(last: Option<Kind>, percent: u64) -> Kind {
        use Kind::*;
        let table: &[(u64, Kind)] = match last {
            None => &[(18, Login), (75, Impression), (100, View)],
            Some(Login) => &[(65, Impression), (100, View)],
            Some(Impression) => &[(80, Impression), (87, Click), (100, View)],
            Some(Click) => &[(88, View), (100, Impression)],
            Some(View) => &[(16, AddCart), (48, View), (100, Impression)],
            Some(AddCart) => &[(38, Purchase), (68, View), (100, Impression)],
            Some(Purchase) => &[(55, Impression), (100, View)],
        };
        table.iter().find(|(upto, _)| percent < *upto).map_or(Impression, |(_, kind)| *kind)
    }
}

/// What all sessions draw from.
#[derive(Clone, Debug)]
pub struct World {
    users: Zipf,
    items: Zipf,
    campaigns: Zipf,
    categories: Zipf,
    /// Events of one session on average.
    length: u32,
    seed: u64,
}

impl World {
    pub fn new(users: u64, skew: Skew, length: u32, seed: u64) -> World {
        World {
            users: Zipf::new(users, skew),
            items: Zipf::new(ITEMS, Skew::ThreeQuarters),
            campaigns: Zipf::new(CAMPAIGNS, Skew::ThreeQuarters),
            categories: Zipf::new(CATEGORIES.len() as u64, Skew::ThreeQuarters),
            length,
            seed: mix(seed),
        }
    }

    /// The category a user comes back to.
    fn favourite(&self, user: u64) -> u64 {
        self.categories.rank(&mut Random::new(self.seed ^ user.rotate_left(32))) - 1
    }
}

/// A session on its way: who, where she is, and what is left.
#[derive(Clone, Debug)]
pub struct Session {
    pub number: u64,
    pub user: u64,
    /// When its next event happens.
    pub at: Millis,
    pub left: u32,
    /// Whether its events name it: sessions of one event each are none.
    pub named: bool,
    random: Random,
    last: Option<Kind>,
    category: u64,
    item: u64,
    campaign: u64,
}

/// One event of a session: what the writer needs besides its id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    pub kind: Kind,
    /// Place in `CATEGORIES`.
    pub category: usize,
    pub item: u64,
    /// From 1; 0 where no campaign brought the user here.
    pub campaign: u64,
    /// Hundredths; of a purchase.
    pub cents: u64,
    /// Seconds; of a view.
    pub duration: u64,
}

impl Session {
    /// Session `number`; of `World::length` events on average, `room` at most.
    pub fn new(world: &World, number: u64, at: Millis, room: u64) -> Session {
        let mut random = Random::new(world.seed ^ number.rotate_left(17));
        let user = world.users.rank(&mut random);
        let mut left = 1;
        while left < LENGTH_MAX && random.below(u64::from(world.length)) != 0 {
            left += 1;
        }
        let left = room.min(u64::from(left)) as u32;
        let named = world.length > 1;
        let mut session =
            Session { number, user, at, left, named, random, last: None, category: 0, item: 0, campaign: 0 };
        if world.length != LENGTH_MEAN {
            session.begin_in_the_middle(world);
        }
        session
    }

    /// A shorter session is a piece of an ordinary one: else it would be over before anybody clicks or buys.
    /// An event of an ordinary session has so many before it as are drawn here, so the mix of types stays.
    fn begin_in_the_middle(&mut self, world: &World) {
        let (at, left) = (self.at, self.left);
        self.left = u32::MAX;
        while self.random.below(u64::from(LENGTH_MEAN)) != 0 {
            self.step(world);
        }
        (self.at, self.left) = (at, left);
    }

    /// The next event; afterwards `at` is the time of the one after it.
    pub fn step(&mut self, world: &World) -> Step {
        let kind = Kind::next(self.last, self.random.below(100));
        // A click is on the item that was shown, a cart and a purchase on the one that was viewed.
        let same = match kind {
            Kind::Click | Kind::AddCart | Kind::Purchase => true,
            Kind::View => self.last == Some(Kind::Click),
            Kind::Impression | Kind::Login => false,
        };
        if !same {
            self.elsewhere(world, kind);
        }
        let gap = self.gap(kind);
        let step = Step {
            kind,
            category: self.category as usize,
            item: self.category * ITEMS + self.item,
            campaign: self.campaign,
            cents: if kind == Kind::Purchase { self.price() } else { 0 },
            duration: if kind == Kind::View { gap / 1000 } else { 0 },
        };
        self.at += gap as Millis;
        self.left -= 1;
        self.last = Some(kind);
        step
    }

    fn elsewhere(&mut self, world: &World, kind: Kind) {
        if self.last.is_none() || self.random.below(100) < 25 {
            let at_home = self.random.below(100) < 50;
            self.category =
                if at_home { world.favourite(self.user) } else { world.categories.rank(&mut self.random) - 1 };
        }
        self.item = world.items.rank(&mut self.random);
        self.campaign = if kind == Kind::Impression { world.campaigns.rank(&mut self.random) } else { 0 };
    }

    /// Milliseconds until the next event: short ones are common, long ones happen.
    fn gap(&mut self, kind: Kind) -> u64 {
        let most = match kind {
            Kind::Impression | Kind::Click => 30_000,
            _ => 180_000,
        };
        let share = self.random.below(1000);
        800 + most * share * share / 1_000_000 + self.random.below(1000)
    }

    /// The price of the item times a small number of pieces, in hundredths.
    fn price(&mut self) -> u64 {
        let mut of_item = Random::new(self.category * ITEMS + self.item);
        let (a, b) = (of_item.below(1000), of_item.below(1000));
        let whole = 2 + a * b * (self.category % 5 + 1) / 5000;
        let ending = [99, 95, 90, 50, 0][of_item.below(5) as usize];
        let pieces = if self.random.below(100) < 80 { 1 } else { 2 + self.random.below(3) };
        (whole * 100 + ending) * pieces
    }
}
