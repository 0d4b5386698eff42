# %% [markdown]
# # Who survived the Titanic?
#
# In the night of 14 April 1912 the *Titanic* struck an iceberg, and 1,502 of the 2,224 people aboard died. We
# know of 891 of them whether they lived. From who they were, can we tell what became of 418 others?
#
# 1. **The data**: what we have and what is missing
# 2. **A first look**: women, children, and the price of a ticket
# 3. **Features**: what a name, a ticket and a cabin give away
# 4. **Five models**, none of which sees the passenger it judges
# 5. **One model above them**: a stacked ensemble
# 6. **The answer**: `submission.csv`

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

DIED, SURVIVED = "#d1495b", "#2e86ab"
BY_FATE = {"hue": "Survived", "hue_order": [1, 0], "palette": {0: DIED, 1: SURVIVED}, "legend": False}

sns.set_theme(
    style="ticks",
    rc={
        "figure.dpi": 110,
        "figure.titlesize": 14,
        "figure.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": "#e6e6e6",
        "axes.axisbelow": True,
    },
)

# %% [markdown]
# Everything that one might want to turn stands in the next cell. With Kanoe: `kanoe run exploration.ipynb -p
# SEED=7`.

# %% tags=["parameters"]
SEED = 42
N_FOLDS = 5
N_ESTIMATORS = 300

# %% [markdown]
# ## 1. The data
#
# One row is one passenger. `Survived` is what we want to know; the test set lacks it.

# %%
train = pd.read_csv("../input/train.csv")
test = pd.read_csv("../input/test.csv")

print(f"{len(train)} passengers to learn from, {train['Survived'].mean():.1%} of them survived")
print(f"{len(test)} passengers to judge")
train.head()

# %%
missing = pd.DataFrame({"train": train.isna().mean(), "test": test.isna().mean()}).dropna()
missing[missing.max(axis="columns") > 0].sort_values("train", ascending=False).map("{:.1%}".format)

# %% [markdown]
# Three cabins in four are unknown, and one age in five. Both may still speak: that nobody wrote down a cabin
# says something too.
#
# ## 2. A first look
#
# *Women and children first*, the captain ordered. Was it so, and did it hold on every deck?


# %%
def plot_rate(column, axis, data=train, **options):
    """Draw the share of survivors by a column, with its 95 % interval and the average as a dashed line."""
    options = {"color": SURVIVED, "width": 0.7, "saturation": 1, "seed": SEED, "n_boot": 200} | options
    sns.barplot(data, x=column, y="Survived", err_kws={"color": "#444444", "linewidth": 1.2}, ax=axis, **options)
    axis.axhline(train["Survived"].mean(), color="#444444", linestyle="--", linewidth=1)
    axis.set(ylim=(0, 1.05), xlabel="", ylabel="")
    axis.yaxis.set_major_formatter("{x:.0%}")


figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), sharey=True, layout="constrained")
plot_rate("Sex", axes[0], order=["female", "male"])
plot_rate("Pclass", axes[1])
plot_rate("Pclass", axes[2], hue="Sex", palette={"female": "#f2a65a", "male": "#58a4b0"}, color=None)
axes[0].set_title("By sex")
axes[1].set_title("By class")
axes[2].set_title("By class and sex")
axes[1].set_xlabel("class of the ticket")
axes[2].set_xlabel("class of the ticket")
axes[2].legend(title="", frameon=False, loc="upper right")
figure.suptitle("Women first, and the first class before the third", x=0.01, ha="left")
plt.show()

# %% [markdown]
# Sex decides more than anything else: three women in four survived, one man in five. But a woman of the third
# class had no better chance than a toss of a coin. The dashed line is the average over all.
#
# What about the children?

# %%
figure, axes = plt.subplots(1, 2, figsize=(12, 3.8), sharey=True, layout="constrained")
for axis, sex in zip(axes, ["female", "male"], strict=True):
    known = train[train["Sex"] == sex]
    sns.histplot(known, x="Age", multiple="stack", binwidth=5, binrange=(0, 80), alpha=0.9, ax=axis, **BY_FATE)
    axis.set(title={"female": "Women and girls", "male": "Men and boys"}[sex], ylabel="passengers", xlabel="age")
axes[1].text(46, 58, "survived", color=SURVIVED, weight="bold")
axes[1].text(46, 63, "died", color=DIED, weight="bold")
figure.suptitle("Little boys were saved, young men were not", x=0.01, ha="left")
plt.show()

# %%
figure, axes = plt.subplots(1, 2, figsize=(12, 3.8), layout="constrained", width_ratios=[3, 2])
paid = train[train["Fare"] > 0]
sns.kdeplot(paid, x="Fare", log_scale=True, common_norm=False, fill=True, alpha=0.35, ax=axes[0], **BY_FATE)
axes[0].set(title="What they paid", xlabel="fare in pounds", ylabel="", yticks=[])
axes[0].xaxis.set_major_formatter("{x:g}")
axes[0].text(11.5, 1.25, "died", color=DIED, weight="bold")
axes[0].text(115, 0.5, "survived", color=SURVIVED, weight="bold")
plot_rate("Embarked", axes[1], order=["C", "Q", "S"])
axes[1].set_xticks(range(3), ["Cherbourg", "Queenstown", "Southampton"])
axes[1].set_title("Where they came aboard")
figure.suptitle("A dear ticket was a good ticket", x=0.01, ha="left")
plt.show()

# %% [markdown]
# The median fare of those who died was £10.50, of those who survived £26. Cherbourg was where the rich came
# aboard: half of its passengers travelled in the first class.
#
# ## 3. Features
#
# What we make from here on we make for both tables alike, so we put them together. No feature is made from
# `Survived`.
#
# ### A name gives away more than it seems
# *Braund, Mr. Owen Harris*; *Heikkinen, Miss. Laina*; *Palsson, Master. Gosta Leonard*: the title tells sex,
# marriage, standing, and in `Master` it tells a boy whose age we may not know.

# %%
everyone = pd.concat([train, test], keys=["train", "test"])

USUAL_TITLES = {"Mlle": "Miss", "Ms": "Miss", "Mme": "Mrs"}
title = everyone["Name"].str.extract(r",\s*(?:the )?([A-Za-z]+)\.", expand=False).replace(USUAL_TITLES)
everyone["Title"] = title.where(title.isin(["Mr", "Mrs", "Miss", "Master"]), "Rare")

pd.crosstab(everyone["Title"], everyone["Sex"]).transpose()

# %% [markdown]
# ### Nobody travels alone on a shared ticket
# `SibSp` counts brothers, sisters and spouses, `Parch` parents and children. Friends and servants shared
# tickets too, and a fare is the price of the *ticket*: divided by the people on it, it becomes the price of a
# berth.

# %%
everyone["FamilySize"] = everyone["SibSp"] + everyone["Parch"] + 1
everyone["GroupSize"] = everyone.groupby("Ticket")["PassengerId"].transform("count")
everyone["Alone"] = (everyone[["FamilySize", "GroupSize"]].max(axis="columns") == 1).astype(int)

fare = everyone["Fare"].fillna(everyone.groupby("Pclass")["Fare"].transform("median"))
everyone["LogBerth"] = np.log1p(fare / everyone["GroupSize"])

everyone["Deck"] = everyone["Cabin"].str[0].map(dict(zip("ABCDEFGT", [1, 2, 3, 4, 5, 6, 7, 1], strict=True))).fillna(0)
everyone["CabinKnown"] = everyone["Cabin"].notna().astype(int)

# %% [markdown]
# ### Ages that nobody wrote down
# We take the median of those with the same title and class, which separates a boy from his father, and keep a
# mark that it is a guess. The bands are those of the ship's own world: up to 12 a child, up to 16 at work
# already.

# %%
BANDS = {"child": 12, "youth": 16, "young": 30, "grown": 48, "old": 90}

everyone["AgeKnown"] = everyone["Age"].notna().astype(int)
everyone["Age"] = everyone["Age"].fillna(everyone.groupby(["Title", "Pclass"])["Age"].transform("median"))
everyone["AgeBand"] = pd.cut(everyone["Age"], bins=[0, *BANDS.values()], labels=list(BANDS))

everyone.groupby("AgeBand", observed=True)["Age"].agg(["count", "min", "median", "max"])

# %%
known = everyone.loc["train"]

figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), sharey=True, layout="constrained")
plot_rate("Title", axes[0], order=["Mrs", "Miss", "Master", "Rare", "Mr"], data=known)
plot_rate("FamilySize", axes[1], data=known)
plot_rate("AgeBand", axes[2], data=known)
axes[0].set_title("By title")
axes[1].set_title("By size of the family")
axes[2].set_title("By age")
figure.suptitle("What we made speaks", x=0.01, ha="left")
plt.show()

# %% [markdown]
# Families of two to four did best. Alone, nobody pulls you along; and of the families of eight and more, nobody
# lived.
#
# Now everything becomes a number: classes and decks keep their order, titles and ports become columns of zeros
# and ones.

# %%
NUMBERS = ["Pclass", "Age", "AgeKnown", "FamilySize", "GroupSize", "Alone", "LogBerth", "Deck", "CabinKnown"]

features = pd.concat(
    [
        everyone[NUMBERS],
        (everyone["Sex"] == "female").astype(int).rename("Woman"),
        (everyone["AgeBand"] == "child").astype(int).rename("Child"),
        pd.get_dummies(everyone[["Title", "Embarked"]], prefix="", prefix_sep="", dtype=int),
    ],
    axis="columns",
)
X, X_test = features.loc["train"], features.loc["test"]
y = train["Survived"]

print(f"{X.shape[1]} features: {', '.join(X.columns)}")
assert not features.isna().any().any()

# %%
correlation = X.assign(Survived=y).corr().iloc[1:, :-1]
notable = correlation.map(lambda value: f"{value:.1f}" if abs(value) >= 0.2 else "")

figure, axis = plt.subplots(figsize=(9, 7), layout="constrained")
above = np.triu(np.ones_like(correlation, dtype=bool), k=1)
heat = {"cmap": "RdBu", "vmin": -1, "vmax": 1, "square": True, "linewidths": 0.5, "cbar_kws": {"shrink": 0.6}}
sns.heatmap(correlation, mask=above, annot=notable, fmt="", annot_kws={"size": 7}, ax=axis, **heat)
axis.grid(visible=False)
axis.tick_params(length=0, labelsize=9)
figure.suptitle("What goes with what; the last row is what we are after", x=0.01, ha="left")
plt.show()

# %% [markdown]
# ## 4. Five models
#
# They differ in how they see the world: a line, a smooth border, and three ways of asking many trees. What they
# get wrong should differ too, or there is nothing to gain from asking all.

# %%
MODELS = {
    "Logistic regression": make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=1000)),
    "Support vectors": CalibratedClassifierCV(make_pipeline(StandardScaler(), SVC(C=0.8)), ensemble=False),
    "Random forest": RandomForestClassifier(N_ESTIMATORS, max_depth=7, min_samples_leaf=2, random_state=SEED),
    "Extra trees": ExtraTreesClassifier(N_ESTIMATORS, max_depth=8, min_samples_leaf=2, random_state=SEED),
    "Gradient boosting": GradientBoostingClassifier(
        n_estimators=N_ESTIMATORS, learning_rate=0.03, max_depth=3, subsample=0.7, min_samples_leaf=5, random_state=SEED
    ),
}
folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=SEED)

# %% [markdown]
# Each model learns from all folds but one and judges that one, so that every passenger is judged by a model
# that never saw him: these are the *out-of-fold* predictions. For the test set we take the mean of the models
# of all folds.


# %%
def predict_out_of_fold(model):
    """Return the probabilities of survival for the training set, out of fold, and for the test set."""
    inside, outside = np.zeros(len(X)), np.zeros(len(X_test))
    for learn, judge in folds.split(X, y):
        model.fit(X.iloc[learn], y.iloc[learn])
        inside[judge] = model.predict_proba(X.iloc[judge])[:, 1]
        outside += model.predict_proba(X_test)[:, 1] / N_FOLDS
    return inside, outside


inside, outside = pd.DataFrame(index=X.index), pd.DataFrame(index=X_test.index)
for name, model in MODELS.items():
    inside[name], outside[name] = predict_out_of_fold(model)
    print(f"{name:20} {accuracy_score(y, inside[name] > 0.5):.3f}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
heat = {"cmap": "Blues", "vmin": 0.75, "vmax": 1, "square": True, "linewidths": 1, "cbar": False}
sns.heatmap(inside.corr(), annot=True, fmt=".2f", ax=axes[0], **heat)
axes[0].set_title("How much their predictions agree")
axes[0].tick_params(length=0)
plt.setp(axes[0].get_xticklabels(), rotation=30, ha="right", rotation_mode="anchor")
plt.setp(axes[0].get_yticklabels(), rotation=0)

forest = MODELS["Random forest"]
importance = pd.Series(forest.feature_importances_, X.columns).nlargest(10)
sns.barplot(x=importance, y=importance.index, color=SURVIVED, width=0.7, saturation=1, ax=axes[1])
axes[1].grid(visible=False)
axes[1].xaxis.set_visible(False)
axes[1].spines["bottom"].set_visible(False)
axes[1].bar_label(axes[1].containers[0], fmt="{:.0%}", padding=4, fontsize=9)
axes[1].set(title="What the random forest looks at", ylabel="")
axes[1].tick_params(axis="y", length=0)
figure.suptitle("They agree, but not on everyone", x=0.01, ha="left")
plt.show()

# %% [markdown]
# ## 5. One model above them
#
# A logistic regression that sees nothing but the five opinions learns whom to trust how much. It is judged out
# of fold as well.


# %%
def log_odds(probabilities):
    """Return probabilities as log odds, which is what a linear model can add up."""
    clipped = probabilities.clip(0.01, 0.99)
    return np.log(clipped / (1 - clipped))


stack = LogisticRegression(C=0.05)
stacked = cross_val_predict(stack, log_odds(inside), y, cv=folds, method="predict_proba")[:, 1]
stack.fit(log_odds(inside), y)

opinions = inside.assign(Stack=stacked)
scores = pd.DataFrame(
    {
        "accuracy": [accuracy_score(y, opinions[name] > 0.5) for name in opinions],
        "area under the curve": [roc_auc_score(y, opinions[name]) for name in opinions],
        "weight in the stack": [*stack.coef_[0], np.nan],
    },
    index=opinions.columns,
)
scores.map(lambda value: "" if pd.isna(value) else f"{value:.3f}")

# %%
right = opinions.gt(0.5).eq(y, axis="index")
by_fold = (
    pd.concat([right.iloc[judge].mean() for _, judge in folds.split(X, y)])
    .rename_axis("model")
    .reset_index(name="accuracy")
)
order = by_fold.groupby("model")["accuracy"].mean().sort_values().index

figure, axis = plt.subplots(figsize=(9, 3.8), layout="constrained")
rows = {"data": by_fold, "x": "accuracy", "y": "model", "order": order, "ax": axis}
sns.stripplot(**rows, color="#9bb8c4", size=6, jitter=False)
sns.pointplot(**rows, color=SURVIVED, markers="D", linestyle="none", errorbar=None)
axis.grid(axis="x")
axis.grid(visible=False, axis="y")
axis.xaxis.set_major_formatter("{x:.0%}")
axis.set(xlabel="accuracy; a dot is a fold, a diamond the mean", ylabel="")
axis.tick_params(axis="y", length=0)
figure.suptitle("Folds differ more than models do", x=0.01, ha="left")
plt.show()

# %% [markdown]
# A sober last word on scores: the folds of one model differ by more than the models do, so a gain of half a
# percent is luck until proven. What stacking gives is steadiness.
#
# ## 6. The answer

# %%
survival = stack.predict_proba(log_odds(outside))[:, 1]
submission = pd.DataFrame({"PassengerId": test["PassengerId"], "Survived": (survival > 0.5).astype(int)})
submission.to_csv("submission.csv", index=False)

print(f"{submission['Survived'].mean():.1%} of the {len(submission)} survive, in our opinion")
submission.head()
